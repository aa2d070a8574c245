--- @include "lib/last_seq"
--- @include "lib/queue"
-- Reads tasks and their places in the queues at one moment, to be compared with the log.
--- @readonly
--
-- KEYS[1] log
-- ARGV[1…] ids
-- Returns {seq of the last event, for each task a list of 18 fields and 5 scores}; what is not there is
--         nil. The fields in the order below; the scores in the index of open tasks, where it would wait,
--         its owner's assigned queue, active queue and auto-assigned subset. No scores for a task that is
--         finished; orphans' queues are read as queues.
-- Errors  none
-- Emits   nothing
local fields = { 'id', 'text', 'status', 'priority', 'assignedTo', 'attempt', 'metadata', 'result', 'error', 'createdAt',
  'updatedAt', 'completedAt', 'seq', 'queuedAt', 'claimedAt', 'assignedSeq', 'previousAssignment', 'roleset' }

local reply = { last_seq() }
for i, id in ipairs(ARGV) do
  local task = redis.call('HMGET', prefix .. 'task:' .. id, unpack(fields))
  local owner, finished, roleset = task[5], task[12], task[18]
  local n = #fields
  for place = 1, 5 do task[n + place] = false end
  if not finished then
    task[n + 1] = redis.call('ZSCORE', prefix .. 'queue:open', id)
    task[n + 2] = redis.call('ZSCORE', waiting_queue(roleset), id)
    if owner then
      task[n + 3] = redis.call('ZSCORE', prefix .. 'queue:instance:' .. owner, id)
      task[n + 4] = redis.call('ZSCORE', prefix .. 'queue:active:' .. owner, id)
      task[n + 5] = redis.call('ZSCORE', prefix .. 'queue:auto:' .. owner, id)
    end
  end
  reply[i + 1] = task
end
return reply
