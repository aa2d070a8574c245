--- @include "lib/log"
--- @include "lib/flush"
--- @include "lib/wakeups"
-- Ends a flush after its keys are deleted. The log starts again with the event system.flushed,
-- whose seq continues the count, and the fence is lifted. A repeated call returns the same result.
--
-- KEYS[1] log
-- ARGV[1] id      of the flush
-- ARGV[2] holder  the run that carries out the flush
-- Returns {number of keys deleted, number of rows deleted in Postgres or '' if they were kept, when
--         the flush ended as ISO 8601}
-- Errors  FLUSH_LOST
-- Emits   system.flushed
local id, holder = ARGV[1], ARGV[2]

local most_remembered = 1000

local over = redis.call('HMGET', KEYS[1], 'flushed', 'flushedKeys', 'flushedTasks', 'flushedAt')
if over[1] == id then return { over[2], over[3], over[4] } end
local refused = lost_flush(id, holder)
if refused then return refused end
if not log_opened(id) then return redis.error_reply('FLUSH_LOST {}') end
local flush = redis.call('HMGET', KEYS[1], 'flushPhase', 'flushContext', 'flushFirst', 'flushLast', 'flushTasks', 'flushKeys',
  'flushes')
if flush[1] ~= 'deleting' then return redis.error_reply('FLUSH_LOST {}') end

-- Another program may have added entries to these streams since they were deleted. system.flushed
-- must be the first entry, and Redis would reject it after an entry with a higher ID.
local late = redis.call('UNLINK', prefix .. 'stream:events', prefix .. 'stream:system.flushed')
local keys, tasks = int(flush[6] + late), flush[5] or ''
local payload = '{"redis":' .. keys
if tasks ~= '' then payload = payload .. ',"postgres":{"tasksDeleted":' .. tasks .. '}' end
local n = emit('system.flushed', payload .. ',"timestamp":"' .. at .. '","firstSeq":' .. flush[3] .. ',"lastSeq":' .. flush[4] .. '}',
  flush[2])
local ended = {}
for time in string.gmatch(flush[7] or '', '%d+') do
  if tonumber(time) > clock - 60000 then ended[#ended + 1] = time end
end
if #ended >= most_remembered then table.remove(ended, 1) end
ended[#ended + 1] = int(clock)
redis.call('HSET', KEYS[1], 'base', n, 'flushed', id, 'flushedKeys', keys, 'flushedTasks', tasks, 'flushedAt', at,
  'flushes', table.concat(ended, ' '))
redis.call('HDEL', KEYS[1], 'paused') -- the pauses are deleted with the queues
lift()
wake('all')
return { keys, tasks, at }
