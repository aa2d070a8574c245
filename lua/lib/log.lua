--- @include "lib/space"
--- @include "lib/clock"
--- @include "lib/iso"
-- The log. emit is the only XADD on it and on its topics.
--
-- A script that writes opens the log before its first write, and emits before it writes state: an
-- entry that somebody else put into the log with a later ID is the one thing that can make a write
-- fail, and then nothing has been written yet.

local topic_length = '10000' -- entries kept in each topic, about

local seq            -- of the last event
local moved          -- there is a later one than where the log's hash says
local now, now_text  -- the time of this script's events in ms: the clock, but never going back
local at             -- the same as ISO 8601
local trimmed        -- the topic that was, last: once is enough for the commands of a lot
local event_id       -- ID of the last event that this script emitted

-- recover_log finds the log's position again when its hash is gone: the stream is what happened.
-- Where a flush has removed the stream, the global state, which survives it, tells how far the log
-- had got.
local function recover_log()
  local stream = prefix .. 'stream:events'
  local last = redis.call('XREVRANGE', stream, '+', '-', 'COUNT', 1)[1]
  if not last then
    local folded = redis.call('HMGET', prefix .. 'state:global', 'checkpoint', 'term')
    local ms, n = string.match(folded[1] or '', '^(%d+)-(%d+)$')
    if not ms then return '0', '0' end
    redis.call('HSET', KEYS[1], 'seq', n, 'ms', ms, 'base', int(n + 1), 'term', folded[2] or '0')
    return n, ms
  end
  local ms, n = string.match(last[1], '^(%d+)-(%d+)$')
  local base = string.match(redis.call('XRANGE', stream, '-', '+', 'COUNT', 1)[1][1], '-(%d+)$')
  local term = '0'
  local elected = redis.pcall('XREVRANGE', prefix .. 'stream:leader.elected', '+', '-', 'COUNT', 1)
  if elected[1] then
    term = string.match(elected[1][2][2], '"term":(%d+)') or term
  end
  redis.call('HSET', KEYS[1], 'seq', n, 'ms', ms, 'base', base, 'term', term)
  return n, ms
end

-- log_opened reads where the log stands, once for a lot of commands. It returns false while a flush
-- fences commands off, unless it is the one that asks.
local function log_opened(flush)
  if seq then return true end
  local log = redis.call('HMGET', KEYS[1], 'seq', 'ms', 'fence')
  if log[3] and log[3] ~= flush then return false end
  local n, ms = log[1], log[2]
  if not n or not ms then n, ms = recover_log() end
  seq = tonumber(n)
  now = math.max(clock, tonumber(ms))
  now_text = int(now)
  at = iso(now)
  return true
end

-- open_log opens the log for a command. It returns an error reply while a flush fences commands
-- off.
local function open_log()
  if not log_opened() then return redis.error_reply('CONFLICT {"reason":"FLUSH_IN_PROGRESS"}') end
end

-- emit appends an event whose payload is JSON text and returns its seq as text. The context is the
-- inside of the envelope that tells the actor, the cause and the trace; ARGV[1] unless another is
-- given. The version is the payload's, as text; '1' unless another is given.
local function emit(type, payload, context, version)
  local n = int(seq + 1)
  event_id = now_text .. '-' .. n
  local data = '{"id":"' .. event_id .. '","seq":' .. n .. ',"type":"' .. type .. '","v":' .. (version or '1') .. ',"timestamp":' .. now_text
    .. ',' .. (context or ARGV[1]) .. ',"payload":' .. payload .. '}'
  redis.call('XADD', prefix .. 'stream:events', event_id, 'data', data)
  seq, moved = seq + 1, true
  if trimmed == type then
    redis.pcall('XADD', prefix .. 'stream:' .. type, event_id, 'data', data)
  else
    redis.pcall('XADD', prefix .. 'stream:' .. type, 'MAXLEN', '~', topic_length, event_id, 'data', data)
    trimmed = type
  end
  if seq == 1 then redis.call('HSET', KEYS[1], 'base', n, 'term', '0') end
  return n
end

--- @closing write_position
local function write_position()
  if moved then redis.call('HSET', KEYS[1], 'seq', int(seq), 'ms', now_text) end
end
