--- @include "lib/verification"
--- @include "lib/guard"
--- @include "lib/fence"
-- Begins a verification of the log, unless one runs. It changes nothing that is verified.
--
-- KEYS[1] log
-- ARGV[1] context      not used
-- ARGV[2] subject      key of the rate limit, method:actor
-- ARGV[3] calls        calls a minute, 0 for no limit; further lines hold other limits (lib/guard)
-- ARGV[4] id           of the verification
-- ARGV[5] by           who asks for it
-- ARGV[6] coordinator  that runs it
-- ARGV[7] lease        how long its lease lasts, ms
-- Returns JSON: the fields of lib/verification, as strings, without last. If the id is another
--         one, that verification runs already
-- Errors  RATE_LIMITED, CONFLICT (FLUSH_IN_PROGRESS)
-- Emits   nothing
local subject, calls, id, by, coordinator, lease = ARGV[2], ARGV[3], ARGV[4], ARGV[5], ARGV[6], ARGV[7]

local refused = fenced() or limit(subject, calls)
if refused then return refused end
if not verification_runs() then
  redis.call('HSET', verification, 'id', id, 'startedAt', int(clock), 'until', int(clock + lease), 'startedBy', by,
    'coordinator', coordinator, 'doing', '', 'events', '0', 'total', '0')
end
local run = read_verification()
run.last = nil
return cjson.encode(run)
