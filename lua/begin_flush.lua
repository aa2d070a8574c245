--- @include "lib/flush"
-- Begins a flush: records in the log's hash that a flush is in progress, and changes nothing else.
-- A repeated call with the same id changes nothing.
--
-- KEYS[1] log
-- ARGV[1] context   members of the envelope of system.flushed as JSON text: actor, cause, trace
-- ARGV[2] subject   not used, because the limit is for the whole namespace
-- ARGV[3] calls     flushes allowed in a minute, 0 for no limit; a flush counts from its end
-- ARGV[4] id        of the flush
-- ARGV[5] holder    the run that carries out the flush
-- ARGV[6] lease     how long the holder's lease lasts, ms
-- ARGV[7] postgres  1 to delete the rows of the task view too, else 0
-- Returns 1
-- Errors  RATE_LIMITED, CONFLICT (FLUSH_IN_PROGRESS)
-- Emits   nothing
local context, subject, calls = ARGV[1], ARGV[2], tonumber(ARGV[3])
local id, holder, lease, postgres = ARGV[4], ARGV[5], tonumber(ARGV[6]), ARGV[7]

local window = 60000 -- ms

local under_way = redis.call('HMGET', KEYS[1], 'flush', 'flushes')
if under_way[1] == id then return 1 end
if under_way[1] then return redis.error_reply('CONFLICT {"reason":"FLUSH_IN_PROGRESS"}') end
if calls > 0 then
  local recent = {}
  for ended in string.gmatch(under_way[2] or '', '%d+') do
    ended = tonumber(ended)
    if ended <= clock and ended > clock - window then recent[#recent + 1] = ended end
  end
  if #recent >= calls then
    local wait = recent[#recent - calls + 1] + window - clock
    return redis.error_reply(string.format('RATE_LIMITED {"limit":%d,"windowMs":%d,"retryAfterMs":%d}', calls, window, wait))
  end
end

redis.call('HSET', KEYS[1], 'flush', id, 'flushPhase', 'draining', 'flushHolder', holder, 'flushPostgres', postgres,
  'flushContext', context, 'flushKeys', '0')
hold(lease)
return 1
