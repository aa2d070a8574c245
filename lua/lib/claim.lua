--- @include "lib/log"
--- @include "lib/json"
--- @include "lib/queue"
--- @include "lib/queue_writes"
--- @include "lib/deadlines"
-- claim claims a pending task (a table of read_task) for an instance. The caller removes the task
-- from the queue that it was in. The new attempt is the fencing token. Emits task.claimed.
local function claim(t, worker)
  local attempt = int(t.attempt + 1)
  local n = emit('task.claimed', '{"taskId":"' .. t.id .. '","workerId":' .. quote_name(worker) .. ',"attempt":' .. attempt
    .. ',"previousAssignment":' .. quoted(t.assignedTo) .. ',"status":"in_progress","previousStatus":"pending","waited":'
    .. int(now - t.queuedAt) .. ',"claimedAt":"' .. at .. '"}')
  local key = prefix .. 'task:' .. t.id
  enqueue(prefix .. 'queue:active:' .. worker, score(t.priority, t.id), t.id)
  redis.call('HSET', key, 'status', 'in_progress', 'assignedTo', worker, 'assignedSeq', n, 'attempt', attempt,
    'claimedAt', now_text, 'updatedAt', at, 'seq', n)
  if t.previousAssignment then redis.call('HDEL', key, 'previousAssignment') end
  t.status, t.assignedTo, t.attempt, t.claimedAt, t.updatedAt = 'in_progress', worker, attempt, now_text, at
  t.previousAssignment = false
  if t.extras then begin_try(t) end
end
