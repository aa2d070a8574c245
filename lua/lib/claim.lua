--- @include "lib/log"
--- @include "lib/json"
--- @include "lib/iso"
--- @include "lib/queue"
--- @include "lib/queue_writes"
--- @lazy "lib/extras"
--- @lazy "lib/deadlines"
-- claim claims a pending task (a table of read_task) for an instance. The caller removes the task
-- from the queue that it was in. The new attempt is the fencing token. Emits task.claimed.
local function claim(t, worker)
  local attempt = int(t.attempt + 1)
  local limit_ms = t.extras and rare().option(t, 'timeoutMs')
  if limit_ms then t.timeoutAt = int(clock + limit_ms) end
  local n = emit('task.claimed', '{"taskId":"' .. t.id .. '","workerId":' .. quote_name(worker) .. ',"attempt":' .. attempt
    .. ',"previousAssignment":' .. quoted(t.assignedTo) .. ',"status":"in_progress","previousStatus":"pending","waited":'
    .. int(now - t.queuedAt) .. ',"claimedAt":"' .. at .. '"' .. (limit_ms and ',"timeoutAt":"' .. iso(clock + limit_ms) .. '"}' or '}'),
    nil, limit_ms and '2')
  local key = prefix .. 'task:' .. t.id
  enqueue(prefix .. 'queue:active:' .. worker, score(t.priority, t.id), t.id)
  redis.call('HSET', key, 'status', 'in_progress', 'assignedTo', worker, 'assignedSeq', n, 'attempt', attempt,
    'claimedAt', now_text, 'updatedAt', at, 'seq', n)
  if t.previousAssignment then redis.call('HDEL', key, 'previousAssignment') end
  t.status, t.assignedTo, t.attempt, t.claimedAt, t.updatedAt = 'in_progress', worker, attempt, now_text, at
  t.previousAssignment = false
  if t.progress then -- it belongs to an earlier try
    redis.call('HDEL', key, 'progress')
    t.progress = false
  end
  if limit_ms then
    redis.call('HSET', key, 'timeoutAt', t.timeoutAt)
    rare().watch(t)
  end
end
