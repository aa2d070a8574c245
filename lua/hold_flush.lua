--- @include "lib/flush"
-- Tells how the flush under way stands, and renews its holder's lease, or takes it when the holder's ended.
--
-- KEYS[1] log
-- ARGV[1] holder   who asks
-- ARGV[2] lease    ms; 0 gives back one that is held; '' changes nothing
-- Returns {1 when the one who asks holds it else 0, id of the flush, phase, 1 when it deletes rows, rows
--         deleted, seq and ms of the log's last event, 1 when the projections into Redis have folded it,
--         or are not run, else 0, id of the last flush that ended, its keys, its rows, when it ended};
--         what is not there is ''
-- Errors  none
-- Emits   nothing
local holder, lease = ARGV[1], tonumber(ARGV[2])

local flush = redis.call('HMGET', KEYS[1], 'flush', 'flushPhase', 'flushPostgres', 'flushTasks', 'seq', 'ms', 'flushHolder',
  'flushUntil', 'flushed', 'flushedKeys', 'flushedTasks', 'flushedAt')
local mine = 0
if flush[1] and lease then
  local own = flush[7] == holder
  if own or lease > 0 and tonumber(flush[8]) < clock then
    mine = 1
    redis.call('HSET', KEYS[1], 'flushHolder', holder)
    hold(lease > 0 and lease or -1)
  end
end
local last = (flush[6] or '0') .. '-' .. (flush[5] or '0')
-- Nobody need wait for a projection that nobody runs.
local folded = (redis.call('HGET', prefix .. 'state:global', 'checkpoint') == last
    or redis.call('EXISTS', prefix .. 'service:lease:state') == 0)
  and (redis.call('GET', prefix .. 'service:checkpoint:metrics') == last
    or redis.call('EXISTS', prefix .. 'service:lease:metrics') == 0)
local reply = { mine, flush[1], flush[2], flush[3], flush[4], flush[5], flush[6], folded and 1 or 0, flush[9], flush[10], flush[11],
  flush[12] }
for i = 1, 12 do reply[i] = reply[i] or '' end
return reply
