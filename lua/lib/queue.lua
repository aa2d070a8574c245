--- @include "lib/space"
-- The queues of tasks. The lowest score comes first: the highest priority, and within a priority
-- the lowest number of a task.

-- score returns the score of a task. A double holds it exactly: 7 bits of priority above 46 bits of
-- the number make 53 bits.
local function score(priority, id)
  return int((100 - priority) * 70368744177664 + string.sub(id, 3))
end

-- waiting_queue returns the key of the queue where a task waits for a worker. Each role set has its
-- own queue.
local function waiting_queue(roleset)
  if not roleset or roleset == '' then return prefix .. 'queue:tasks:pending' end
  return prefix .. 'queue:roles:' .. roleset
end
