--- @include "lib/space"
-- The queues of tasks. In each the lowest score comes first: the highest priority, and within one
-- the lowest number. A score holds both exactly: 7 bits of priority above 46 of the number, 53 in
-- all.

local function score(priority, id)
  return int((100 - priority) * 70368744177664 + string.sub(id, 3))
end

-- waiting_queue is where a task waits for a worker: by the set of roles it asks for, if it asks for
-- any.
local function waiting_queue(roleset)
  if not roleset or roleset == '' then return prefix .. 'queue:tasks:pending' end
  return prefix .. 'queue:roles:' .. roleset
end
