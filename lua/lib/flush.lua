--- @include "lib/space"
--- @include "lib/clock"
-- The state of a flush is kept in the log's hash, which survives it. While one is under way:
--
--   flush                  its id
--   flushPhase             draining, fenced, deleting
--   flushHolder, flushUntil  who carries it out, and the end of its lease in ms
--   flushPostgres          1 when it deletes the task view's rows as well
--   flushContext           inside of the envelope of system.flushed
--   fence                  its id again, when commands are fenced off
--   flushFencedAt          since when, ms
--   flushFirst, flushLast  the seqs of the events that it removes
--   flushTasks             rows deleted in Postgres
--   flushKeys              keys deleted so far
--
-- Of those that are over:
--
--   flushed, flushedKeys, flushedTasks, flushedAt  the last one, and what it answered
--   flushes                when the last ones ended, in ms, the latest last

-- lost_flush returns an error reply when a flush is over or another coordinator has taken it over.
local function lost_flush(id, holder)
  local flush = redis.call('HMGET', KEYS[1], 'flush', 'flushHolder')
  if flush[1] ~= id or flush[2] ~= holder then return redis.error_reply('FLUSH_LOST {}') end
end

local function hold(lease)
  redis.call('HSET', KEYS[1], 'flushUntil', int(clock + lease))
end

-- lift ends a flush, and with it the fence.
local function lift()
  redis.call('HDEL', KEYS[1], 'fence', 'flush', 'flushPhase', 'flushHolder', 'flushUntil', 'flushPostgres', 'flushContext',
    'flushFencedAt', 'flushFirst', 'flushLast', 'flushTasks', 'flushKeys')
end
