--- @include "lib/log"
--- @include "lib/json"
--- @include "lib/rolesets"
--- @include "lib/claim"
--- @include "lib/queue_writes"
--- @include "lib/leave_queue"
--- @include "lib/deadlines"
--- @include "lib/failed_tries"
--- @include "lib/turns"
--- @include "lib/dependents"
--- @include "lib/settle"
-- claim_first claims a task for its owner if the owner has not claimed it.
local function claim_first(t)
  if t.status ~= 'pending' then return end
  claim(t, t.assignedTo)
  withdraw(t.assignedTo, t.id)
end

-- close_extras ends what only some tasks have.
local function close_extras(t, outcome, context)
  unwatch(t)
  end_dependency(t, outcome, context)
  local unique = option(t, 'uniqueKey')
  if unique and redis.call('HGET', prefix .. 'queue:unique', unique) == t.id then redis.call('HDEL', prefix .. 'queue:unique', unique) end
  leave_limit(t, context)
end

-- close_task removes a task that has got its last status from all queues. retention is how long the
-- finished task is kept, in ms. Tasks that waited for this one or for its turn go on.
local function close_task(t, outcome, retention, context)
  redis.call('PEXPIRE', prefix .. 'task:' .. t.id, retention)
  leave_queue(t)
  dequeue(prefix .. 'queue:open', t.id)
  release_roleset(t.roleset)
  if t.assignedTo then settle_later(t.assignedTo) end
  if t.extras then close_extras(t, outcome, context) end
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

-- fail fails a claimed task for good. failure is JSON text or ''. context is that of the event, nil
-- for the caller's. The other parameters are those of complete. Emits task.failed.
local function fail(t, result, failure, retention, context)
  local fields = note_failed_try(t, failure, at)
  local n = emit('task.failed', end_members(t, 'failed', result) .. ',"error":' .. raw(failure)
    .. ',"previousStatus":"in_progress","completedAt":"' .. at .. '","failures":' .. t.failures
    .. (t.losses and ',"losses":' .. t.losses or '') .. '}', context, '2')
  local function set(name, value)
    fields[#fields + 1] = name
    fields[#fields + 1] = value
  end
  if t.losses then set('losses', t.losses) end
  if result ~= '' then set('result', result) end
  if failure ~= '' then set('error', failure) end
  ended(t, 'failed', n, fields, retention, context)
  t.result, t.error = result, failure
end
