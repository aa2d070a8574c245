--- @include "lib/last_seq"
--- @include "lib/clock"
-- Reads how far the task view is behind the log. No rate limit applies, because this is not a
-- command.
--- @readonly
--
-- KEYS[1] log
-- ARGV[1] checkpoint  of the view, the ID of the last event that it has applied
-- Returns {number of events that the view has not applied, age of the first of them in ms}
-- Errors  none
-- Emits   nothing
local checkpoint = ARGV[1]

local first = redis.call('XRANGE', prefix .. 'stream:events', '(' .. checkpoint, '+', 'COUNT', 1)[1]
if not first then return { 0, 0 } end
local ms, seq = string.match(first[1], '^(%d+)-(%d+)$')
return { last_seq() - seq + 1, int(math.max(clock - ms, 0)) }
