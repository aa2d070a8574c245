--- @include "lib/log"
--- @include "lib/flush"
-- Raises the fence of a flush: from now on no command emits an event, so that the projections can
-- reach the end of the log. A repeated call only renews the holder's lease.
--
-- KEYS[1] log
-- ARGV[1] id      of the flush
-- ARGV[2] holder  the run that carries out the flush
-- ARGV[3] lease   how long the holder's lease lasts, ms
-- Returns the seq of the log's last event
-- Errors  FLUSH_LOST
-- Emits   nothing
local id, holder, lease = ARGV[1], ARGV[2], tonumber(ARGV[3])

local refused = lost_flush(id, holder)
if refused then return refused end
if not log_opened(id) then return redis.error_reply('FLUSH_LOST {}') end
hold(lease)
if redis.call('HGET', KEYS[1], 'flushPhase') == 'draining' then
  redis.call('HSET', KEYS[1], 'flushPhase', 'fenced', 'fence', id, 'flushFencedAt', int(clock),
    'flushFirst', redis.call('HGET', KEYS[1], 'base') or '1', 'flushLast', int(seq))
end
return int(seq)
