--- @include "lib/log"
--- @include "lib/json"
--- @include "lib/queue"
--- @include "lib/wakeups"
--- @lazy "lib/deadlines"
--- @lazy "lib/turns"
-- unassign takes a task (a table of read_task) from its owner and returns it to its waiting queue,
-- at its old position. The caller removes the task from the queue that it was in. losses is how often
-- the task was lost with its worker, nil if it was not lost now. Emits task.unassigned.
local function unassign(t, reason, context, losses)
  local owner = quote(t.assignedTo)
  local n = emit('task.unassigned', '{"taskId":"' .. t.id .. '","instanceId":' .. owner .. ',"previousAssignment":' .. owner
    .. ',"reason":"' .. reason .. '","status":"pending","previousStatus":"' .. t.status .. '","unassignedAt":"' .. at .. '"' .. (losses and ',"losses":' .. losses or '')
    .. '}', context, losses and '2')
  local key = prefix .. 'task:' .. t.id
  redis.call('ZADD', waiting_queue(t.roleset), score(t.priority, t.id), t.id)
  wake_workers(t.roleset)
  redis.call('HSET', key, 'status', 'pending', 'previousAssignment', t.assignedTo, 'updatedAt', at, 'queuedAt', now_text, 'seq', n)
  redis.call('HDEL', key, 'assignedTo', 'assignedSeq', 'claimedAt')
  if t.extras then
    rare().unwatch(t)
    if t.status == 'in_progress' then rare().reconsider(t) end
  end
  if losses then redis.call('HSET', key, 'extras', '1', 'losses', losses) end
  t.status, t.previousAssignment, t.assignedTo, t.updatedAt = 'pending', t.assignedTo, false, at
end
