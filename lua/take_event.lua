--- @include "lib/group"
--- @include "lib/flush_deleting"
-- Acknowledges the event that a member of a consumer group has handled, and takes the next one: of
-- the group's own stream, of another member that has not answered for long, or of the topic. If the
-- topic was trimmed before the group had read it, what is missing is first copied from the log, a
-- part in each call.
--
-- KEYS[1] log
-- ARGV[1] type      event type of the topic
-- ARGV[2] group     consumer group; it is created if it does not exist
-- ARGV[3] consumer  name of the member
-- ARGV[4] handled   entry to acknowledge, '' for none
-- ARGV[5] own       1 if handled is in the group's own stream
-- ARGV[6] more      0 to take nothing
-- ARGV[7] position  entry of the topic up to which the group has read at least, '' if unknown
-- ARGV[8] idle      ms after which an event is taken over from another member; 0 to take over none
-- ARGV[9] most      deliveries after which an event without an answer is parked; 0 for never
-- ARGV[10] now      1 if a new group starts at the end of the log, else at the first event kept
-- Returns {'event', own: 1 if it is in the group's own stream, entry, its fields data, event,
--         deliveries and gap, '' for those that it does not have, number of deliveries with this
--         one}, {'none', position of the group in the topic and in its own stream}, {'again'}:
--         something was moved, {'wait'}: the group's own stream is full, {'created'}: the group was
--         created, or {'parked', event}. An event that cannot be parked, because there are too many
--         parked events, is delivered
-- Errors  CONFLICT (FLUSH_IN_PROGRESS)
-- Emits   nothing
local type, group, consumer, handled, own, more = ARGV[1], ARGV[2], ARGV[3], ARGV[4], ARGV[5], ARGV[6]
local position, idle, most, now = ARGV[7], tonumber(ARGV[8]), tonumber(ARGV[9]), ARGV[10]

local page = 250 -- entries of the log that one call looks at

local refused = refuse_while_deleting()
if refused then return refused end
local topic, own_stream = topic_of(type), own_of(type, group)
if handled ~= '' then
  acknowledge(own == '1' and own_stream or topic, group, handled, own == '1')
end
if more == '0' then return { 'none', '', '' } end

-- parts returns the two numbers of an ID. The embedded Redis leaves out a second one that is 0.
local function parts(id)
  local ms, seq = string.match(id, '^(%d+)-?(%d*)$')
  return tonumber(ms), tonumber(seq) or 0
end

-- before compares two IDs.
local function before(a, b)
  local a_ms, a_seq = parts(a)
  local b_ms, b_seq = parts(b)
  return a_ms < b_ms or a_ms == b_ms and a_seq < b_seq
end

-- info returns what XINFO says about the group of a stream, nil if there is no such group.
local function info(stream)
  local infos = redis.pcall('XINFO', 'GROUPS', stream)
  if infos.err then return nil end
  for _, each in ipairs(infos) do
    local found = {}
    for i = 1, #each, 2 do found[each[i]] = each[i + 1] end
    if found.name == group then return found end
  end
end

-- taken returns the reply for an entry.
local function taken(in_own, id, list, deliveries)
  local fields = {}
  for i = 1, #list, 2 do fields[list[i]] = list[i + 1] end
  if in_own then
    deliveries = deliveries + tonumber(fields.deliveries or 0)
    return { 'event', 1, id, fields.data or '', fields.event or '', deliveries, fields.gap or '' }
  end
  return { 'event', 0, id, fields.data or '', id, deliveries, '' }
end

-- read takes the next entry that no member has.
local function read(stream)
  return redis.pcall('XREADGROUP', 'GROUP', group, consumer, 'COUNT', 1, 'STREAMS', stream, '>')
end

-- take_over takes an entry that another member holds for too long.
local function take_over(stream, in_own)
  local held = redis.pcall('XPENDING', stream, group, 'IDLE', int(idle), '-', '+', 1)
  if held.err or not held[1] then return nil end
  local id, count = held[1][1], held[1][4]
  local fields = entry(stream, id)
  if not fields then
    if in_own then acknowledge(stream, group, id, true) else rescue(type, group, id, count) end
    return { 'again' }
  end
  local made = count + tonumber(in_own and fields.deliveries or 0)
  if most > 0 and made >= most and not fields.gap then
    local event = in_own and fields.event or id
    if park(type, group, held[1][2], in_own, id, event, fields.data or '', made, 'unanswered', '') then
      return { 'parked', event }
    end
  end
  local claimed = redis.call('XCLAIM', stream, group, consumer, 0, id)
  return taken(in_own, id, claimed[1][2], count + 1)
end

local waits_own = redis.call('EXISTS', own_stream) == 1
if waits_own then
  local next = read(own_stream)
  if next and next.err then
    if not string.find(next.err, 'NOGROUP', 1, true) then return next end
    redis.call('XGROUP', 'CREATE', own_stream, group, '0')
    next = read(own_stream)
  end
  if next and next[1] then return taken(true, next[1][2][1][1], next[1][2][1][2], 1) end
end
if idle > 0 then
  local other = (waits_own and take_over(own_stream, true)) or take_over(topic, false)
  if other then return other end
end

-- create creates the group.
local function create()
  local start = '0'
  local log = redis.call('HMGET', KEYS[1], 'seq', 'ms', 'base')
  if now == '1' and position == '' and log[1] then start = log[2] .. '-' .. log[1] end
  redis.call('XGROUP', 'CREATE', topic, group, start, 'MKSTREAM')
  -- Events that the group had not read may have been in the streams that are gone.
  local _, seq = parts(position ~= '' and position or '0-0')
  if seq > 0 and log[3] and seq + 1 < tonumber(log[3]) then
    set_aside(type, group, 'gap', '{"from":' .. int(seq + 1) .. ',"to":' .. int(log[3] - 1) .. ',"reason":"flushed"}')
  end
  return { 'created' }
end

local first = redis.call('XRANGE', topic, '-', '+', 'COUNT', 1)[1]
local found
if position == '' or not first or before(position, first[1]) then
  found = info(topic)
  if not found then return create() end
end

-- missing reports whether the topic may have lost entries that the group has not read.
local function missing(at)
  local stream, about = redis.call('XINFO', 'STREAM', topic), {}
  for i = 1, #stream, 2 do about[stream[i]] = stream[i + 1] end
  local added, has_read = about['entries-added'], found['entries-read']
  if before(at, '0-1') then has_read = 0 end
  if not added or not has_read then return true end
  return has_read < added - about.length
end

if found and first then
  local at = found['last-delivered-id']
  local ms, seq = parts(first[1])
  local edge = seq > 0 and int(ms) .. '-' .. int(seq - 1) or int(ms - 1) .. '-18446744073709551615'
  if before(at, edge) and missing(at) then
    if redis.call('XLEN', own_stream) >= most_waiting then return { 'wait' } end
    local entries = redis.call('XRANGE', log_stream, '(' .. at, '(' .. first[1], 'COUNT', page)
    local to = #entries == page and entries[page][1] or edge
    -- The embedded Redis cannot move a group. Its topics are not trimmed by others.
    if not redis.pcall('XGROUP', 'SETID', topic, group, to).err then
      local _, seen = parts(at)
      if entries[1] and seen > 0 then
        local _, next_seq = parts(entries[1][1])
        if next_seq > seen + 1 then
          local base = tonumber(redis.call('HGET', KEYS[1], 'base') or 0)
          local reason = base <= seen + 1 and 'missing' or string.find(entries[1][2][2] or '', '"type":"system.flushed"', 1, true) and 'flushed' or 'trimmed'
          set_aside(type, group, 'gap', '{"from":' .. int(seen + 1) .. ',"to":' .. int(next_seq - 1) .. ',"reason":"' .. reason .. '"}')
        end
      elseif seen > 0 and seq > seen + 1 then
        set_aside(type, group, 'gap', '{"from":' .. int(seen + 1) .. ',"to":' .. int(seq - 1) .. ',"reason":"trimmed"}')
      end
      for _, each in ipairs(entries) do
        local data = each[2][1] == 'data' and each[2][2] or ''
        if string.match(data, '^{"id":"[%d-]+","seq":%d+,"type":"([^"]+)"') == type then
          set_aside(type, group, 'data', data, 'event', each[1])
        end
      end
      return { 'again' }
    end
  end
end

local next = read(topic)
if next and next.err then
  if not string.find(next.err, 'NOGROUP', 1, true) then return next end
  return create()
end
if next and next[1] then return taken(false, next[1][2][1][1], next[1][2][1][2], 1) end
found = found or info(topic)
local mine = waits_own and info(own_stream)
return { 'none', found['last-delivered-id'], mine and mine['last-delivered-id'] or '0-0' }
