--- @include "lib/log"
--- @include "lib/json"
-- orphan turns a queue of an instance ('instance': assigned tasks, 'active': claimed tasks) into an
-- orphan queue. It lists the queue with the reason and with the context for the events of its
-- tasks. The name consists of the last event's seq and the queue, because one event can orphan both
-- queues. It returns the key, or nil if the instance has no such queue.
local function orphan(id, queue, reason)
  local from = prefix .. 'queue:' .. queue .. ':' .. id
  if redis.call('EXISTS', from) == 0 then return nil end
  local name = int(seq) .. ':' .. queue
  local key = prefix .. 'queue:orphans:' .. name
  redis.call('RENAME', from, key)
  local actor, trace = string.match(ARGV[1], '^("actor":.-),"cause":.*,("trace":.*)$')
  local entry = '{"queue":"' .. name .. '","instanceId":' .. quote(id) .. ',"reason":"' .. reason .. '","context":'
    .. quote(actor .. ',"cause":"' .. event_id .. '",' .. trace) .. '}'
  redis.call('ZADD', prefix .. 'queue:orphaned', seq, entry)
  return key
end
