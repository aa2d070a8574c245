--- @include "lib/space"
--- @lazy "lib/extras"
-- read_pending_task returns the fields that a pending task can have, in the form of read_task.
local function read_pending_task(id)
  local t = redis.call('HMGET', prefix .. 'task:' .. id, 'text', 'status', 'priority', 'assignedTo', 'attempt',
    'metadata', 'createdAt', 'roleset', 'queuedAt', 'previousAssignment', 'extras')
  local task = { id = id, text = t[1], status = t[2], priority = t[3], assignedTo = t[4], attempt = t[5], metadata = t[6],
    createdAt = t[7], roleset = t[8], queuedAt = t[9], previousAssignment = t[10], extras = t[11] }
  if task.extras then rare().read_extras(task) end
  return task
end
