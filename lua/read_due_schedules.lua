--- @include "lib/space"
--- @include "lib/clock"
--- @include "lib/fence"
-- Reads the schedules whose next tick has come, the earliest tick first. Any number of coordinators
-- ask for them, and fire_schedule decides which one of them fires a tick.
--- @readonly
--
-- KEYS[1] log
-- ARGV[1] skip  how many of the due schedules to leave out
-- ARGV[2] most  maximum number of schedules
-- Returns {clock in ms; the tick that is next after these, in ms, or false; {id, cron, timezone,
--         catchUp, next, version} of each due schedule}
-- Errors  CONFLICT (FLUSH_IN_PROGRESS)
-- Emits   nothing
local skip, most = tonumber(ARGV[1]), tonumber(ARGV[2])

local refused = fenced()
if refused then return refused end
local index, due = prefix .. 'schedules:next', {}
for _, id in ipairs(redis.call('ZRANGEBYSCORE', index, '-inf', int(clock), 'LIMIT', skip, most)) do
  due[#due + 1] = redis.call('HMGET', prefix .. 'schedule:' .. id, 'id', 'cron', 'timezone', 'catchUp', 'next', 'version')
end
local later = redis.call('ZRANGEBYSCORE', index, '(' .. int(clock), '+inf', 'WITHSCORES', 'LIMIT', 0, 1)
return { int(clock), later[2] or false, due }
