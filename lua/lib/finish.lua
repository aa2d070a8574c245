--- @include "lib/log"
--- @include "lib/json"
--- @include "lib/rolesets"
--- @include "lib/withdraw"
--- @include "lib/claim"
--- @include "lib/queue_writes"
--- @include "lib/settle"
-- finish completes or fails a task that has an owner. If the owner has not claimed the task, finish
-- claims it first. result and failure are JSON text or ''. retention is how long the finished task
-- is kept, in ms. Emits task.completed or task.failed.
local function finish(t, status, result, failure, retention)
  local owner = t.assignedTo
  if t.status == 'pending' then
    claim(t, owner)
    withdraw(owner, t.id)
  end
  local payload = '{"id":"' .. t.id .. '","status":"' .. status .. '","workerId":' .. quote_name(owner) .. ',"attempt":' .. t.attempt
    .. ',"duration":' .. int(now - t.claimedAt) .. ',"result":' .. raw(result)
  if status == 'failed' then payload = payload .. ',"error":' .. raw(failure) end
  local n = emit('task.' .. status, payload .. ',"previousStatus":"in_progress","completedAt":"' .. at .. '"}')
  local key = prefix .. 'task:' .. t.id
  local fields = { 'status', status, 'completedAt', at, 'updatedAt', at, 'seq', n }
  if result ~= '' then
    fields[#fields + 1] = 'result'
    fields[#fields + 1] = result
  end
  if failure ~= '' then
    fields[#fields + 1] = 'error'
    fields[#fields + 1] = failure
  end
  redis.call('HSET', key, unpack(fields))
  redis.call('PEXPIRE', key, retention)
  dequeue(prefix .. 'queue:active:' .. owner, t.id)
  dequeue(prefix .. 'queue:open', t.id)
  release_roleset(t.roleset)
  settle_later(owner)
  t.status, t.completedAt, t.updatedAt = status, at, at
  t.result, t.error = result, failure
end
