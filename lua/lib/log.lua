--- @include "lib/space"
--- @include "lib/clock"
--- @include "lib/iso"
-- The log. Only emit adds entries to the log and to its topics.
--
-- A script that writes opens the log before its first write, and emits before it writes state. Only
-- an entry with a later ID, which another program added to the log, can make a write fail. That
-- write is the first XADD, so the script has not written anything yet.

local topic_length = '10000' -- approximate number of entries that a topic keeps

local seq            -- seq of the last event
local waiting        -- until when some call of task.claim may wait, in ms; false for never
local fleet_ttl      -- TTL in ms that the coordinators have agreed on; false in logs of earlier versions
local topics         -- types that have a topic, as ',type,type,'; false for all types
local due            -- when the first scheduled task becomes due, in ms; false for none
local some_paused    -- '1' while a queue is paused (lib/pauses), else false
local moved          -- whether the log's hash is behind seq
local now, now_text  -- time of this script's events in ms: clock, but never before the last event
local at             -- the same time as ISO 8601
local trimmed        -- topic trimmed last; consecutive events of one type trim it once
local event_id       -- ID of the last event that this script emitted

-- recover_log restores the log's hash when it is gone, and returns the seq and the time of the last
-- event. It reads them from the stream. If a flush has deleted the stream, it reads them from the
-- checkpoint of the global state, which survives a flush. It also restores whether a queue is paused.
local function recover_log()
  local stream = prefix .. 'stream:events'
  some_paused = redis.call('EXISTS', prefix .. 'queue:paused') == 1 and '1'
  if some_paused then redis.call('HSET', KEYS[1], 'paused', some_paused) end
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

-- log_opened reads the log's position, once in an EVALSHA. It returns false while a flush fences
-- commands off, except to that flush itself: flush is the id of the calling flush, or nil.
local function log_opened(flush)
  if seq then return true end
  local log = redis.call('HMGET', KEYS[1], 'seq', 'ms', 'fence', 'topics', 'ttl', 'waiting', 'due', 'paused')
  if log[3] and log[3] ~= flush then return false end
  local n, ms = log[1], log[2]
  some_paused = log[8]
  if not n or not ms then n, ms = recover_log() end
  seq, topics, fleet_ttl, waiting, due = tonumber(n), log[4], log[5], log[6], log[7]
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

-- emit appends an event to the log and returns its seq as text. payload is JSON text. context is
-- the part of the envelope with actor, cause and trace; the default is ARGV[1]. version is the
-- version of the payload, as text; the default is '1'.
local function emit(type, payload, context, version)
  local n = int(seq + 1)
  event_id = now_text .. '-' .. n
  local data = '{"id":"' .. event_id .. '","seq":' .. n .. ',"type":"' .. type .. '","v":' .. (version or '1') .. ',"timestamp":' .. now_text
    .. ',' .. (context or ARGV[1]) .. ',"payload":' .. payload .. '}'
  redis.call('XADD', prefix .. 'stream:events', event_id, 'data', data)
  seq, moved = seq + 1, true
  if topics and not string.find(topics, ',' .. type .. ',', 1, true) then
    -- The fleet keeps no topic of this type.
  elseif trimmed == type then
    redis.pcall('XADD', prefix .. 'stream:' .. type, event_id, 'data', data)
  else
    redis.pcall('XADD', prefix .. 'stream:' .. type, 'MAXLEN', '~', topic_length, event_id, 'data', data)
    trimmed = type
  end
  if seq == 1 then redis.call('HSET', KEYS[1], 'base', n, 'term', '0') end
  return n
end

-- write_position writes the log's position to its hash.
--- @closing write_position
local function write_position()
  if moved then redis.call('HSET', KEYS[1], 'seq', int(seq), 'ms', now_text) end
end
