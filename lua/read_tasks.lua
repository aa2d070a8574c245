--- @include "lib/last_seq"
--- @include "lib/queue"
-- Reads tasks and their positions in the queues, all at the same moment, for claudebench verify,
-- which compares the reply with the log.
--- @readonly
--
-- KEYS[1] log
-- ARGV[1…] ids  of the tasks
-- Returns {seq of the last event, a list for each task}; a missing value is nil. A list has 29
--         fields in the order below and 9 scores: in the index of open tasks, in its waiting queue,
--         in its owner's assigned queue, active queue and auto-assigned subset, in the queues of
--         scheduled and of blocked tasks, in the index of deadlines and in that of the tasks that
--         its owner is to end; and, of a task with extras, 1 if somebody is
--         still to tell tasks what came of another one or of a limit, else 0. A finished task
--         has no scores. Orphan queues are read with read_queues
-- Errors  none
-- Emits   nothing
local fields = { 'id', 'text', 'status', 'priority', 'assignedTo', 'attempt', 'metadata', 'result', 'error', 'createdAt',
  'updatedAt', 'completedAt', 'seq', 'queuedAt', 'claimedAt', 'assignedSeq', 'previousAssignment', 'roleset', 'extras', 'options',
  'runAt', 'failures', 'losses', 'errors', 'progress', 'timeoutAt', 'cancel', 'cancelAt',
  'open' }

local reply = { last_seq() }
local behind = redis.call('EXISTS', prefix .. 'queue:settling', prefix .. 'queue:relimits') > 0 and 1 or 0
for i, id in ipairs(ARGV) do
  local task = redis.call('HMGET', prefix .. 'task:' .. id, unpack(fields))
  local owner, finished, roleset = task[5], task[12], task[18]
  local n = #fields
  for place = 1, 10 do task[n + place] = false end
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
  task[n + 10] = task[19] and behind
  reply[i + 1] = task
end
return reply
