--- @include "lib/space"
--- @include "lib/flush_deleting"
-- Gives back a lease, if the coordinator still holds it.
--
-- KEYS[1] log
-- ARGV[1] name    of the work: the projection's name
-- ARGV[2] holder  the coordinator that gives the lease back
-- Returns 1 if the lease was given back, else 0
-- Errors  none
-- Emits   nothing
local name, holder = ARGV[1], ARGV[2]
local lease = prefix .. 'service:lease:' .. name

if flush_deleting() or redis.call('GET', lease) ~= holder then
  return 0
end
redis.call('DEL', lease)
return 1
