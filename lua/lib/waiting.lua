--- @include "lib/space"
-- read_waiting returns the fields that a pending task can have, as read_task does.
local function read_waiting(id)
  local t = redis.call('HMGET', prefix .. 'task:' .. id, 'id', 'text', 'status', 'priority', 'assignedTo', 'attempt',
    'metadata', 'createdAt', 'roleset', 'queuedAt', 'previousAssignment')
  return { id = t[1], text = t[2], status = t[3], priority = t[4], assignedTo = t[5], attempt = t[6], metadata = t[7],
    createdAt = t[8], roleset = t[9], queuedAt = t[10], previousAssignment = t[11] }
end
