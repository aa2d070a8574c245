--- @include "lib/pass"
-- Lets a call pass that needs nothing else of Redis, or refuses it for coming too soon. It does so during
-- a flush as well. Nothing but the rate limit's counters changes.
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

return pass(subject, calls) or 1
