--- @include "lib/json"
--- @include "lib/conflict"
-- not_held returns an error reply unless a worker has an unfinished task, as this attempt. '' for the
-- worker or the attempt stands for any.
local function not_held(t, worker, attempt)
  if t.completedAt then return conflict('ALREADY_FINISHED', '"status":"' .. t.status .. '"') end
  if not t.assignedTo then return conflict('NOT_ASSIGNED') end
  if worker ~= '' and worker ~= t.assignedTo then return conflict('NOT_OWNER', '"assignedTo":' .. quote(t.assignedTo)) end
  if attempt == '' or attempt == t.attempt then return nil end
  if tonumber(attempt) > tonumber(t.attempt) then return conflict('UNKNOWN_ATTEMPT', '"attempt":' .. t.attempt) end
  return conflict('STALE_ATTEMPT', '"attempt":' .. t.attempt)
end
