--- @include "lib/log"
--- @include "lib/json"
--- @include "lib/rolesets"
--- @include "lib/claim"
--- @include "lib/queue_writes"
--- @include "lib/leave_queue"
--- @include "lib/deadlines"
--- @include "lib/failed_tries"
--- @include "lib/settle"
-- claim_first claims a task for its owner if the owner has not claimed it.
local function claim_first(t)
  if t.status ~= 'pending' then return end
  claim(t, t.assignedTo)
  withdraw(t.assignedTo, t.id)
end

-- close_task removes a task that has got its last status from all queues. retention is how long the
-- finished task is kept, in ms.
local function close_task(t, retention)
  if t.extras then unwatch(t) end
  redis.call('PEXPIRE', prefix .. 'task:' .. t.id, retention)
  leave_queue(t)
  dequeue(prefix .. 'queue:open', t.id)
  release_roleset(t.roleset)
  if t.assignedTo then settle_later(t.assignedTo) end
end

-- finish completes or fails a task that has an owner. If the owner has not claimed the task, finish
-- claims it first. result and failure are JSON text or ''. context is that of the event, nil for the
-- caller's. Emits task.completed or task.failed.
local function finish(t, status, result, failure, retention, context)
  claim_first(t)
  local owner = t.assignedTo
  local fields = status == 'failed' and note_failed_try(t, failure, at) or {}
  local payload = '{"id":"' .. t.id .. '","status":"' .. status .. '","workerId":' .. quote_name(owner) .. ',"attempt":' .. t.attempt
    .. ',"duration":' .. int(now - t.claimedAt) .. ',"result":' .. raw(result)
  if status == 'failed' then payload = payload .. ',"error":' .. raw(failure) end
  payload = payload .. ',"previousStatus":"in_progress","completedAt":"' .. at .. '"'
  local n
  if status == 'failed' then
    n = emit('task.failed', payload .. ',"failures":' .. t.failures .. (t.losses and ',"losses":' .. t.losses or '') .. '}', context, '2')
    if t.losses then
      fields[#fields + 1] = 'losses'
      fields[#fields + 1] = t.losses
    end
  else
    n = emit('task.completed', payload .. '}', context)
  end
  local key = prefix .. 'task:' .. t.id
  for _, value in ipairs({ 'status', status, 'completedAt', at, 'updatedAt', at, 'seq', n }) do fields[#fields + 1] = value end
  if result ~= '' then
    fields[#fields + 1] = 'result'
    fields[#fields + 1] = result
  end
  if failure ~= '' then
    fields[#fields + 1] = 'error'
    fields[#fields + 1] = failure
  end
  redis.call('HSET', key, unpack(fields))
  close_task(t, retention)
  t.status, t.completedAt, t.updatedAt = status, at, at
  t.result, t.error = result, failure
end
