--- @include "lib/space"
-- A consumer group of a topic. Besides the topic, a group can have a stream of its own, which holds
-- the events that only this group gets: those that were trimmed from the topic before the group read
-- them, and parked events that are delivered again. Each entry of it has data, and event: the ID in
-- the log; or gap, the JSON text of a gap. An event that was delivered before it came into this
-- stream also has deliveries. The stream is deleted when it is empty.

local most_parked = 10000    -- entries of the stream of parked events
local most_copied = 16384    -- bytes of an event that a parked entry holds; of a longer one, the log has the data
local most_waiting = 1000    -- entries of a group's own stream beyond which nothing is taken from the log

local log_stream, parked_stream, parked_counts = prefix .. 'stream:events', prefix .. 'stream:parked', prefix .. 'service:parked'

local function topic_of(type) return prefix .. 'stream:' .. type end
local function own_of(type, group) return prefix .. 'stream:group:' .. type .. ':' .. group end

-- entry returns the fields of an entry, nil if the stream does not have it.
local function entry(stream, id)
  local found = redis.call('XRANGE', stream, id, id)[1]
  if not found then return nil end
  local fields = {}
  for i = 1, #found[2], 2 do fields[found[2][i]] = found[2][i + 1] end
  return fields
end

-- acknowledge acknowledges an entry, and deletes it from the group's own stream.
local function acknowledge(stream, group, id, own)
  redis.pcall('XACK', stream, group, id)
  if own then
    redis.call('XDEL', stream, id)
    if redis.call('XLEN', stream) == 0 then redis.call('UNLINK', stream) end
  end
end

-- set_aside adds an entry to a group's own stream.
local function set_aside(type, group, ...)
  redis.call('XADD', own_of(type, group), '*', ...)
end

-- park moves an entry that a consumer holds to the parked events. It returns false, and changes
-- nothing, if these are too many.
local function park(type, group, consumer, own, id, event, data, deliveries, reason, detail)
  if redis.call('XLEN', parked_stream) >= most_parked then return false end
  if #data > most_copied and redis.call('XRANGE', log_stream, event, event)[1] then data = '' end
  redis.call('XADD', parked_stream, '*', 'type', type, 'group', group, 'consumer', consumer, 'event', event,
    'deliveries', int(deliveries), 'reason', reason, 'detail', detail, 'data', data)
  redis.call('HINCRBY', parked_counts, type .. ':' .. group, 1)
  acknowledge(own and own_of(type, group) or topic_of(type), group, id, own)
  return true
end

-- rescue moves an event that was trimmed from the topic while a consumer held it to the group's own
-- stream. If the log does not have it either, the group gets a gap.
local function rescue(type, group, id, deliveries)
  local kept = entry(log_stream, id)
  if kept and kept.data then
    set_aside(type, group, 'data', kept.data, 'event', id, 'deliveries', int(deliveries))
  else
    local seq = string.match(id, '-(%d+)$')
    set_aside(type, group, 'gap', '{"from":' .. seq .. ',"to":' .. seq .. ',"reason":"trimmed"}')
  end
  acknowledge(topic_of(type), group, id, false)
end

-- unpark deletes a parked entry.
local function unpark(id, parked)
  redis.call('XDEL', parked_stream, id)
  local count = parked.type .. ':' .. parked.group
  if redis.call('HINCRBY', parked_counts, count, -1) <= 0 then redis.call('HDEL', parked_counts, count) end
end
