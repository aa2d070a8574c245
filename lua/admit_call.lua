--- @include "lib/limit_outside_flush"
-- Counts a call for its rate limit, or refuses it, for methods that need nothing else from Redis.
-- Behind the fence of a flush it admits every call without counting it. It writes nothing but the
-- rate limit's counters.
--- @readonly
--
-- KEYS[1] log
-- ARGV[1] context  not used
-- ARGV[2] subject  key of the rate limit, method:actor
-- ARGV[3] calls    calls a minute, 0 for no limit; further lines hold other limits (lib/guard)
-- Returns 1
-- Errors  RATE_LIMITED
-- Emits   nothing
local subject, calls = ARGV[2], ARGV[3]

return limit_outside_flush(subject, calls) or 1
