--- @include "lib/space"
--- @lazy "lib/extras"
-- read_task_state returns the fields of a task's state, in the form of read_task. Finishing a task
-- does not need the fields that users write.
local function read_task_state(id)
  local t = redis.call('HMGET', prefix .. 'task:' .. id, 'id', 'status', 'priority', 'assignedTo', 'attempt', 'completedAt',
    'roleset', 'queuedAt', 'claimedAt', 'previousAssignment', 'extras')
  if not t[1] then return nil end
  local task = { id = t[1], status = t[2], priority = t[3], assignedTo = t[4], attempt = t[5], completedAt = t[6], roleset = t[7],
    queuedAt = t[8], claimedAt = t[9], previousAssignment = t[10], extras = t[11] }
  if task.extras then rare().read_extras(task) end
  return task
end
