--- @include "lib/flush"
-- Undoes a flush that has deleted nothing, and lifts its fence. A repeated call changes nothing.
--
-- Behind the fence heartbeats renewed nothing. So, if the fence was up, nobody is declared dead for
-- one TTL, and an instance that was the leader when the fence went up keeps the leader's lease for
-- as long.
--
-- KEYS[1] log
-- ARGV[1] id      of the flush
-- ARGV[2] holder  the run that carries out the flush
-- ARGV[3] phase   draining or fenced: the script refuses if the flush is in another phase
-- ARGV[4] ttl     of registrations, ms
-- Returns 1
-- Errors  FLUSH_LOST
-- Emits   nothing
local id, holder, phase, ttl = ARGV[1], ARGV[2], ARGV[3], tonumber(ARGV[4])

local flush = redis.call('HMGET', KEYS[1], 'flush', 'flushHolder', 'flushPhase', 'flushFencedAt')
if flush[1] ~= id then return 1 end
if flush[2] ~= holder or flush[3] ~= phase or phase == 'deleting' then return redis.error_reply('FLUSH_LOST {}') end
if phase == 'fenced' then
  redis.call('HSET', prefix .. 'health:monitor', 'tick', int(clock), 'patience', int(clock + ttl))
  local leader = prefix .. 'health:leader'
  local held = redis.call('HGET', leader, 'until')
  if held and tonumber(held) >= tonumber(flush[4]) then
    redis.call('HSET', leader, 'until', int(clock + ttl))
  end
end
lift()
return 1
