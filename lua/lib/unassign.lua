--- @include "lib/log"
--- @include "lib/json"
--- @include "lib/queue"
--- @include "lib/wakeups"
-- unassign takes a task (a table of read_task) from its owner and returns it to its waiting queue,
-- at its old position. The caller removes the task from the queue that it was in. Emits
-- task.unassigned.
local function unassign(t, reason, context)
  local owner = quote(t.assignedTo)
  local n = emit('task.unassigned', '{"taskId":"' .. t.id .. '","instanceId":' .. owner .. ',"previousAssignment":' .. owner
    .. ',"reason":"' .. reason .. '","status":"pending","previousStatus":"' .. t.status .. '","unassignedAt":"' .. at .. '"}', context)
  local key = prefix .. 'task:' .. t.id
  redis.call('ZADD', waiting_queue(t.roleset), score(t.priority, t.id), t.id)
  wake_workers(t.roleset)
  redis.call('HSET', key, 'status', 'pending', 'previousAssignment', t.assignedTo, 'updatedAt', at, 'queuedAt', now_text, 'seq', n)
  redis.call('HDEL', key, 'assignedTo', 'assignedSeq', 'claimedAt')
  t.status, t.previousAssignment, t.assignedTo, t.updatedAt = 'pending', t.assignedTo, false, at
end
