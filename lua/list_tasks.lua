--- @include "lib/guard"
--- @include "lib/fence"
-- Counts a call of task.list for its rate limit, and returns the ID of the log's last event, so
-- that the caller can wait until the task view has applied it. It writes nothing but the rate
-- limit's counters.
--- @readonly
--
-- KEYS[1] log
-- ARGV[1] context  not used
-- ARGV[2] subject  key of the rate limit, method:actor
-- ARGV[3] calls    calls a minute, 0 for no limit; further lines hold other limits (lib/guard)
-- Returns the ID of the log's last event
-- Errors  RATE_LIMITED, CONFLICT (FLUSH_IN_PROGRESS)
-- Emits   nothing
local subject, calls = ARGV[2], ARGV[3]

local refused = fenced() or limit(subject, calls)
if refused then return refused end
-- If the log's hash is lost, its stream still has the last event.
local log = redis.call('HMGET', KEYS[1], 'ms', 'seq')
if log[1] and log[2] then return log[1] .. '-' .. log[2] end
local last = redis.call('XREVRANGE', prefix .. 'stream:events', '+', '-', 'COUNT', 1)[1]
return last and last[1] or '0-0'
