--- @include "lib/log_end"
-- Counts a call of audit.diff and returns the ID of the log's last event. It writes nothing but the
-- rate limit's counters.
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

return log_end(subject, calls)
