--- @include "lib/withdraw"
--- @include "lib/unassign"
--- @include "lib/settle"
-- release takes a task from its owner and returns it to its waiting queue, at its old position.
-- Emits task.unassigned.
local function release(t, reason)
  local owner = t.assignedTo
  unassign(t, reason)
  withdraw(owner, t.id)
  redis.call('ZREM', prefix .. 'queue:active:' .. owner, t.id)
  settle(owner)
end
