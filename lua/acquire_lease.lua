--- @include "lib/space"
--- @include "lib/flush_deleting"
-- Takes or renews the lease of a projection, or of other work in the background, for a coordinator.
-- Only the coordinator that holds the lease does the work; the others wait. A coordinator that is too
-- old for the log's format gets no lease.
--
-- KEYS[1] log
-- ARGV[1] name    of the work: the projection's name
-- ARGV[2] holder  the coordinator that asks
-- ARGV[3] ttl     how long the lease lasts, ms
-- ARGV[4] format  highest format of the log that the coordinator knows
-- ARGV[5] position  last event that a projection outside Redis has applied, '' if unknown or if it is
--         none. The holder's is kept, so that nothing trims what the projection still needs
-- Returns 1 if the coordinator now holds the lease; 0 if another one holds it, or while a flush
--         deletes keys; -1 if the log has a higher format
-- Errors  none
-- Emits   nothing
local name, holder, ttl, format, position = ARGV[1], ARGV[2], ARGV[3], tonumber(ARGV[4]), ARGV[5]
local lease = prefix .. 'service:lease:' .. name

if tonumber(redis.call('HGET', KEYS[1], 'format') or 0) > format then
  return -1
end
if flush_deleting() then
  return 0
end
local held_by = redis.call('GET', lease)
if held_by and held_by ~= holder then
  return 0
end
-- Above maxmemory Redis refuses SET. A holder keeps its lease then, so that it can make room.
if held_by then redis.call('PEXPIRE', lease, ttl) else redis.call('SET', lease, holder, 'PX', ttl) end
if position ~= '' then redis.call('HSET', prefix .. 'service:positions', name, position) end
return 1
