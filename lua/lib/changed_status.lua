--- @include "lib/conflict"
-- changed_status returns an error reply if a task has none of the statuses for which it was chosen.
-- statuses is a list between commas, as ',failed,cancelled,', or '' for any.
local function changed_status(t, statuses)
  if statuses == '' or string.find(statuses, ',' .. t.status .. ',', 1, true) then return nil end
  return conflict('STATUS_CHANGED', '"status":"' .. t.status .. '"')
end
