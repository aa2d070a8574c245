--- @include "lib/flush"
-- Reads the state of the current flush, and renews the flush's lease for the holder. If the lease
-- has expired, the caller takes it.
--
-- KEYS[1] log
-- ARGV[1] holder  the run that asks
-- ARGV[2] lease   how long the lease lasts, ms; 0 gives up the lease; '' only reads the state
-- Returns JSON: {mine: whether the caller has renewed, taken or given up the lease, id, phase,
--         rows: whether the flush deletes rows in Postgres, tasks: number of rows deleted, seq and
--         ms: of the log's last event, folded: whether the projections into Redis have applied that
--         event or do not run, archived: whether the archive has that event or does not run, ended: {id, keys, tasks, at} of the last flush that ended}. Integers
--         are strings. A member without a value is left out
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
-- A projection whose lease nobody holds does not run, so the flush need not wait for it.
local folded = (redis.call('HGET', prefix .. 'state:global', 'checkpoint') == last
    or redis.call('EXISTS', prefix .. 'service:lease:state') == 0)
  and (redis.call('GET', prefix .. 'service:checkpoint:metrics') == last
    or redis.call('EXISTS', prefix .. 'service:lease:metrics') == 0)
local archived = redis.call('HGET', KEYS[1], 'archived') == last
  or redis.call('EXISTS', prefix .. 'service:lease:archive') == 0
return cjson.encode({
  mine = mine,
  id = flush[1] or nil,
  phase = flush[2] or nil,
  rows = flush[3] == '1',
  tasks = flush[4] or nil,
  seq = flush[5] or '0',
  ms = flush[6] or '0',
  folded = folded,
  archived = archived,
  ended = flush[9] and { id = flush[9], keys = flush[10] or nil, tasks = flush[11] or nil, at = flush[12] or nil } or nil,
})
