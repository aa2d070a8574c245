--- @include "lib/space"
-- What the readers of the log and of its topics still need of the log. Nothing may trim the first
-- event that a reader needs, or a later one.

local most_checkpoints = 2000 -- checkpoints of services that one call looks at

-- id_parts returns the two numbers of an ID. The embedded Redis leaves out a second one that is 0.
local function id_parts(id)
  local ms, seq = string.match(id, '^(%d+)-?(%d*)$')
  return tonumber(ms), tonumber(seq) or 0
end

-- sooner reports whether an ID comes before another one.
local function sooner(a, b)
  local a_ms, a_seq = id_parts(a)
  local b_ms, b_seq = id_parts(b)
  return a_ms < b_ms or a_ms == b_ms and a_seq < b_seq
end

-- needed_after returns the first ID that a reader needs whose last event is position. A reader whose
-- position is unknown needs all events.
local function needed_after(position)
  if not string.match(position or '', '^%d+%-?%d*$') then return '0-1' end
  local ms, seq = id_parts(position)
  return int(ms) .. '-' .. int(seq + 1)
end

-- lost_unread reports whether a topic may have lost entries that a group has not read. info is what
-- XINFO says about the group.
local function lost_unread(topic, info)
  local stream, about = redis.call('XINFO', 'STREAM', topic), {}
  for i = 1, #stream, 2 do about[stream[i]] = stream[i + 1] end
  local added, has_read = about['entries-added'], info['entries-read']
  if sooner(info['last-delivered-id'], '0-1') then has_read = 0 end
  return not added or not has_read or has_read < added - about.length
end

-- group_needs returns the first event of the log that a consumer group needs, nil if it needs none.
-- type is '' for a group of the log. A group of a topic that has read the whole topic needs nothing,
-- however old its position is.
local function group_needs(stream, type, info)
  local at, needs = info['last-delivered-id'], nil
  if type == '' then
    needs = needed_after(at)
  else
    local unread = redis.call('XRANGE', stream, '(' .. at, '+', 'COUNT', 1)[1]
    if unread then
      needs = unread[1]
      local first = redis.call('XRANGE', stream, '-', '+', 'COUNT', 1)[1][1]
      if first == needs and lost_unread(stream, info) then needs = needed_after(at) end
    end
  end
  if tonumber(info.pending) > 0 then
    local held = redis.call('XPENDING', stream, info.name)[2]
    if held and (not needs or sooner(held, needs)) then needs = held end
  end
  return needs
end

-- group_infos returns what XINFO says about the groups of a stream, none if there is no such stream.
local function group_infos(stream)
  local infos, list = redis.pcall('XINFO', 'GROUPS', stream), {}
  for n, each in ipairs(infos.err and {} or infos) do
    local info = {}
    for i = 1, #each, 2 do info[each[i]] = each[i + 1] end
    list[n] = info
  end
  return list
end
