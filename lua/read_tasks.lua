--- @include "lib/last_seq"
--- @include "lib/queue"
-- Reads tasks and their positions in the queues, all at the same moment, for claudebench verify,
-- which compares the reply with the log.
--- @readonly
--
-- KEYS[1] log
-- ARGV[1…] ids  of the tasks
-- Returns {seq of the last event, a list for each task}; a missing value is nil. A list has 28
--         fields in the order below and 9 scores: in the index of open tasks, in its waiting queue,
--         in its owner's assigned queue, active queue and auto-assigned subset, in the queues of
--         scheduled and of blocked tasks, in the index of deadlines and in that of the tasks that
--         its owner is to end. A finished task
--         has no scores. Orphan queues are read with read_queues
-- Errors  none
-- Emits   nothing
local fields = { 'id', 'text', 'status', 'priority', 'assignedTo', 'attempt', 'metadata', 'result', 'error', 'createdAt',
  'updatedAt', 'completedAt', 'seq', 'queuedAt', 'claimedAt', 'assignedSeq', 'previousAssignment', 'roleset', 'extras', 'options',
  'runAt', 'failures', 'losses', 'errors', 'progress', 'timeoutAt', 'cancel', 'cancelAt' }

local reply = { last_seq() }
for i, id in ipairs(ARGV) do
  local task = redis.call('HMGET', prefix .. 'task:' .. id, unpack(fields))
  local owner, finished, roleset = task[5], task[12], task[18]
  local n = #fields
  for place = 1, 9 do task[n + place] = false end
  if not finished then
    task[n + 1] = redis.call('ZSCORE', prefix .. 'queue:open', id)
    task[n + 2] = redis.call('ZSCORE', waiting_queue(roleset), id)
    if owner then
      task[n + 3] = redis.call('ZSCORE', prefix .. 'queue:instance:' .. owner, id)
      task[n + 4] = redis.call('ZSCORE', prefix .. 'queue:active:' .. owner, id)
      task[n + 5] = redis.call('ZSCORE', prefix .. 'queue:auto:' .. owner, id)
      task[n + 9] = redis.call('ZSCORE', prefix .. 'queue:cancelling:' .. owner, id)
    end
    task[n + 6] = redis.call('ZSCORE', prefix .. 'queue:scheduled', id)
    task[n + 7] = redis.call('ZSCORE', prefix .. 'queue:blocked', id)
    task[n + 8] = redis.call('ZSCORE', prefix .. 'queue:deadlines', id)
  end
  reply[i + 1] = task
end
return reply
