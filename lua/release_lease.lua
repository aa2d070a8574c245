--- @include "lib/space"
--- @include "lib/flush_deleting"
-- Gives a projection's lease back, if it is still held by the one that gives it.
--
-- KEYS[1] log
-- ARGV[1] name      of the projection
-- ARGV[2] holder    the coordinator that holds it
-- Returns 1 when it was given back, else 0
-- Errors  none
-- Emits   nothing
local name, holder = ARGV[1], ARGV[2]
local lease = prefix .. 'service:lease:' .. name

if flush_deleting() or redis.call('GET', lease) ~= holder then
  return 0
end
redis.call('DEL', lease)
return 1
