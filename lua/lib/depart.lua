--- @include "lib/log"
--- @include "lib/json"
--- @include "lib/leader"
--- @include "lib/orphan"
--- @include "lib/failures"
--- @include "lib/wakeups"
--- @include "lib/session"
-- held counts the tasks that are assigned to an instance or claimed by it.
local function held(id)
  return redis.call('ZCARD', prefix .. 'queue:instance:' .. id) + redis.call('ZCARD', prefix .. 'queue:active:' .. id)
end

-- depart removes an instance that left or died. Its queues become orphan queues in one step,
-- however long they are; requeue_orphans puts their tasks back later. The caller emits the event
-- first.
local function depart(id, reason)
  orphan(id, 'active', reason)
  orphan(id, 'instance', reason)
  redis.call('UNLINK', prefix .. 'queue:auto:' .. id, prefix .. 'instance:' .. id)
  redis.call('ZREM', prefix .. 'queue:stealable', id)
  redis.call('ZREM', prefix .. 'queue:available', id)
  redis.call('ZREM', prefix .. 'health:alive', id)
  redis.call('ZREM', prefix .. 'health:workers', id)
  redis.call('HDEL', prefix .. 'health:roles', id)
  forget_session(redis.call('HGET', prefix .. 'health:gossip:' .. id, 'sessionId'), id)
  redis.call('HSET', prefix .. 'health:gossip:' .. id, 'status', 'offline')
  redis.call('PEXPIRE', prefix .. 'health:gossip:' .. id, 86400000) -- a day
  if reason == 'instance_failed' then note_failure(id) end
  resign(id)
  wake_instance(id)
end
