--- @include "lib/log"
--- @include "lib/json"
--- @include "lib/rolesets"
--- @include "lib/claim"
--- @include "lib/queue_writes"
--- @include "lib/leave_queue"
--- @include "lib/settle"
--- @lazy "lib/close_extras"
-- claim_first claims a task for its owner if the owner has not claimed it.
local function claim_first(t)
  if t.status ~= 'pending' then return end
  claim(t, t.assignedTo)
  withdraw(t.assignedTo, t.id)
end

-- close_task removes a task that has got its last status from all queues. retention is how long the
-- finished task is kept, in ms. Tasks that waited for this one or for its turn go on.
local function close_task(t, outcome, retention, context)
  redis.call('PEXPIRE', prefix .. 'task:' .. t.id, retention)
  leave_queue(t)
  dequeue(prefix .. 'queue:open', t.id)
  release_roleset(t.roleset)
  if t.assignedTo then settle_later(t.assignedTo) end
  if t.extras then rare().close_extras(t, outcome, context) end
end

-- ended writes that a claimed task has ended, with further fields in the form of HSET. The caller has
-- emitted the event, whose seq is n.
local function ended(t, status, n, fields, retention, context)
  redis.call('HSET', prefix .. 'task:' .. t.id, 'status', status, 'completedAt', at, 'updatedAt', at, 'seq', n, unpack(fields))
  close_task(t, status, retention, context)
  t.status, t.completedAt, t.updatedAt = status, at, at
end

-- end_members returns the members that the events of a claimed task's end have in common.
local function end_members(t, status, result)
  return '{"id":"' .. t.id .. '","status":"' .. status .. '","workerId":' .. quote_name(t.assignedTo) .. ',"attempt":' .. t.attempt
    .. ',"duration":' .. int(now - t.claimedAt) .. ',"result":' .. raw(result)
end

-- complete completes a claimed task. result is JSON text or ''; retention is how long the finished
-- task is kept, in ms. Emits task.completed.
local function complete(t, result, retention)
  local n = emit('task.completed', end_members(t, 'completed', result) .. ',"previousStatus":"in_progress","completedAt":"' .. at .. '"}')
  ended(t, 'completed', n, result ~= '' and { 'result', result } or {}, retention)
  t.result = result
end
