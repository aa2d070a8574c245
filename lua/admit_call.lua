--- @include "lib/limit_outside_flush"
-- Counts a call that needs nothing else of Redis for its rate limit, or refuses it. It answers
-- during a flush as well. Nothing but the rate limit's counters changes.
--- @readonly
--
-- KEYS[1] log
-- ARGV[1] context   inside of the envelope, not used
-- ARGV[2] subject   method:actor of the rate limit
-- ARGV[3] calls     a minute and actor, 0 for no limit
-- Returns 1
-- Errors  RATE_LIMITED
-- Emits   nothing
local subject, calls = ARGV[2], ARGV[3]

return limit_outside_flush(subject, calls) or 1
