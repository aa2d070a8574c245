--- @include "lib/space"
--- @include "lib/clock"
-- The log's hash holds the state of a flush, because a flush does not delete this hash. Fields
-- during a flush:
--
--   flush                    id of the flush
--   flushPhase               draining, fenced or deleting
--   flushHolder, flushUntil  the run that carries it out, and the end of its lease in ms
--   flushPostgres            1 if it also deletes the rows of the task view, else 0
--   flushContext             actor, cause and trace for the envelope of system.flushed
--   fence                    id of the flush, while it fences commands off
--   flushFencedAt            start of the fence, in ms
--   flushFirst, flushLast    seqs of the first and the last event that it deletes
--   flushTasks               number of rows deleted in Postgres
--   flushKeys                number of keys deleted so far
--
-- Fields after a flush:
--
--   flushed, flushedKeys, flushedTasks, flushedAt  id and results of the last flush
--   flushes                                        ends of recent flushes in ms, latest last

-- lost_flush returns an error reply if the flush has ended or another holder has taken it over.
local function lost_flush(id, holder)
  local flush = redis.call('HMGET', KEYS[1], 'flush', 'flushHolder')
  if flush[1] ~= id or flush[2] ~= holder then return redis.error_reply('FLUSH_LOST {}') end
end

-- hold renews the holder's lease.
local function hold(lease)
  redis.call('HSET', KEYS[1], 'flushUntil', int(clock + lease))
end

-- lift ends a flush and its fence.
local function lift()
  redis.call('HDEL', KEYS[1], 'fence', 'flush', 'flushPhase', 'flushHolder', 'flushUntil', 'flushPostgres', 'flushContext',
    'flushFencedAt', 'flushFirst', 'flushLast', 'flushTasks', 'flushKeys')
end
