--- @include "lib/limit_outside_flush"
--- @include "lib/failures"
-- Tells how the fleet is. That it answers says that Redis does; it answers during a flush as well.
-- Nothing but the rate limit's counters changes.
--- @readonly
--
-- KEYS[1] log
-- ARGV[1] context   inside of the envelope, not used
-- ARGV[2] subject   method:actor of the rate limit
-- ARGV[3] calls     a minute and actor, 0 for no limit
-- Returns how many instances failed less than five minutes ago and have not registered again
-- Errors  RATE_LIMITED
-- Emits   nothing
local subject, calls = ARGV[2], ARGV[3]

local refused = limit_outside_flush(subject, calls)
if refused then return refused end
return recent_failures()
