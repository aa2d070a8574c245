--- @include "lib/log"
--- @include "lib/json"
--- @include "lib/queue"
--- @include "lib/queue_writes"
-- claim puts a pending task (a table of read_task) to work with an instance; the caller takes it
-- out of the queue it was in. The attempt it raises is the fencing token. Emits task.claimed.
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
end
