--- @include "lib/guard"
--- @include "lib/answer"
--- @include "lib/schedules"
--- @include "lib/fence"
-- Reads a schedule. It writes nothing but the rate limit's counters.
--- @readonly
--
-- KEYS[1] log
-- ARGV[1] context  not used
-- ARGV[2] subject  key of the rate limit, method:actor
-- ARGV[3] calls    calls a minute, 0 for no limit; further lines hold other limits (lib/guard)
-- ARGV[4] id       of the schedule
-- Returns the schedule object
-- Errors  RATE_LIMITED, NOT_FOUND, CONFLICT (FLUSH_IN_PROGRESS)
-- Emits   nothing
local subject, calls, id = ARGV[2], ARGV[3], ARGV[4]

local refused = fenced() or limit(subject, calls)
if refused then return refused end
local s = read_schedule(id)
if not s then return no_schedule(id) end
return counted_answer(calls, schedule_object(s))
