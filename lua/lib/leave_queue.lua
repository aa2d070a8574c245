--- @include "lib/space"
--- @include "lib/queue"
--- @include "lib/queue_writes"
--- @include "lib/withdraw"
-- leave_queue removes an open task (a table of read_task) from the queue that its status names. A
-- task that was set aside with its instance stays in the orphan queue; requeue_orphans skips it.
local function leave_queue(t)
  if t.status == 'in_progress' then
    dequeue(prefix .. 'queue:active:' .. t.assignedTo, t.id)
  elseif t.assignedTo then
    withdraw(t.assignedTo, t.id)
  elseif t.status == 'scheduled' then
    redis.call('ZREM', prefix .. 'queue:scheduled', t.id)
  elseif t.status == 'blocked' then
    redis.call('ZREM', prefix .. 'queue:blocked', t.id)
  else
    dequeue(waiting_queue(t.roleset), t.id)
  end
end
