--- @include "lib/limit_outside_flush"
--- @include "lib/failures"
-- Counts the instances that failed recently, for system.health. Any reply also shows that Redis
-- works. The script works behind the fence of a flush too. It writes nothing but the rate limit's
-- counters.
--- @readonly
--
-- KEYS[1] log
-- ARGV[1] context  not used
-- ARGV[2] subject  key of the rate limit, method:actor
-- ARGV[3] calls    calls a minute, 0 for no limit; further lines hold other limits (lib/guard)
-- Returns the number of instances that failed less than five minutes ago and have not registered
--         again
-- Errors  RATE_LIMITED
-- Emits   nothing
local subject, calls = ARGV[2], ARGV[3]

local refused = limit_outside_flush(subject, calls)
if refused then return refused end
return recent_failures()
