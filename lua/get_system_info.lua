--- @include "lib/limit_outside_flush"
-- Counts the coordinators that are alive, for system.info. The script works behind the fence of a
-- flush too. It writes nothing but the rate limit's counters.
--- @readonly
--
-- KEYS[1] log
-- ARGV[1] context  not used
-- ARGV[2] subject  key of the rate limit, method:actor
-- ARGV[3] calls    calls a minute, 0 for no limit; further lines hold other limits (lib/guard)
-- Returns the number of coordinators that are alive (join_fleet)
-- Errors  RATE_LIMITED
-- Emits   nothing
local subject, calls = ARGV[2], ARGV[3]

local refused = limit_outside_flush(subject, calls)
if refused then return refused end
return redis.call('ZCARD', prefix .. 'fleet:coordinators')
