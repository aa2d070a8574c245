--- @include "lib/guard"
--- @include "lib/fence"
-- Lets a list of tasks pass, and returns which event the view must have got to. Nothing but the
-- rate limit's counters changes.
--- @readonly
--
-- KEYS[1] log
-- ARGV[1] context   inside of the envelope, not used
-- ARGV[2] subject   method:actor of the rate limit
-- ARGV[3] calls     a minute and actor, 0 for no limit
-- Returns the ID of the last event
-- Errors  RATE_LIMITED, CONFLICT (FLUSH_IN_PROGRESS)
-- Emits   nothing
local subject, calls = ARGV[2], ARGV[3]

local refused = fenced() or limit(subject, calls)
if refused then return refused end
-- While the log's hash is lost, the stream is what happened.
local log = redis.call('HMGET', KEYS[1], 'ms', 'seq')
if log[1] and log[2] then return log[1] .. '-' .. log[2] end
local last = redis.call('XREVRANGE', prefix .. 'stream:events', '+', '-', 'COUNT', 1)[1]
return last and last[1] or '0-0'
