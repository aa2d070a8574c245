--- @include "lib/withdraw"
--- @include "lib/unassign"
--- @include "lib/cancel"
--- @include "lib/settle"
-- release takes a task from its owner and returns it to its waiting queue, at its old position. A
-- task that is to be cancelled is cancelled instead; retention is as in finish. Emits
-- task.unassigned or task.cancelled.
local function release(t, reason, retention)
  if t.cancel then return end_cancelled(t, nil, nil, retention) end
  local owner = t.assignedTo
  unassign(t, reason)
  withdraw(owner, t.id)
  redis.call('ZREM', prefix .. 'queue:active:' .. owner, t.id)
  settle(owner)
end
