--- @include "lib/json"
--- @include "lib/conflict"
-- stale_attempt returns an error reply if attempt is not a task's current one.
local function stale_attempt(t, attempt)
  if attempt == t.attempt then return nil end
  if tonumber(attempt) > tonumber(t.attempt) then return conflict('UNKNOWN_ATTEMPT', '"attempt":' .. t.attempt) end
  return conflict('STALE_ATTEMPT', '"attempt":' .. t.attempt)
end

-- not_claimed returns an error reply unless a worker has a task in progress, as this attempt.
local function not_claimed(t, worker, attempt)
  if t.completedAt then return conflict('ALREADY_FINISHED', '"status":"' .. t.status .. '"') end
  if not t.assignedTo then return conflict('NOT_ASSIGNED') end
  if worker ~= t.assignedTo then return conflict('NOT_OWNER', '"assignedTo":' .. quote(t.assignedTo)) end
  if t.status ~= 'in_progress' then return conflict('NOT_CLAIMED', '"status":"' .. t.status .. '"') end
  return stale_attempt(t, attempt)
end
