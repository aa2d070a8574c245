--- @include "lib/flush"
-- Tells how the flush under way stands, and renews its holder's lease, or takes it when the
-- holder's ended.
--
-- KEYS[1] log
-- ARGV[1] holder   who asks
-- ARGV[2] lease    ms; 0 gives it up; '' changes nothing
-- Returns JSON: {mine: the one who asks holds it, id, phase, rows: it deletes rows too, tasks: rows deleted, seq and ms of
--         the log's last event, folded: the projections into Redis have that event or are not run, ended: {id, keys,
--         tasks, at} of the last flush}; integers are strings, and what is not there is left out
-- Errors  none
-- Emits   nothing
local holder, lease = ARGV[1], tonumber(ARGV[2])

local flush = redis.call('HMGET', KEYS[1], 'flush', 'flushPhase', 'flushPostgres', 'flushTasks', 'seq', 'ms', 'flushHolder',
  'flushUntil', 'flushed', 'flushedKeys', 'flushedTasks', 'flushedAt')
local mine = false
if flush[1] and lease then
  local own = flush[7] == holder
  if own or lease > 0 and tonumber(flush[8]) < clock then
    mine = true
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
return cjson.encode({
  mine = mine,
  id = flush[1] or nil,
  phase = flush[2] or nil,
  rows = flush[3] == '1',
  tasks = flush[4] or nil,
  seq = flush[5] or '0',
  ms = flush[6] or '0',
  folded = folded,
  ended = flush[9] and { id = flush[9], keys = flush[10] or nil, tasks = flush[11] or nil, at = flush[12] or nil } or nil,
})
