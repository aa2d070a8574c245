--- @include "lib/moment"
--- @include "lib/queue"
-- Reads tasks and their places in the queues at one moment, to be compared with the log.
--- @readonly
--
-- KEYS[1] log
-- ARGV[1…] two for each task: its id, and the key of an orphans' queue to look for it in, or ''
-- Returns {seq of the last event, for each task a list of 18 fields and 6 scores}; what is not there is
--         nil. The fields in the order below; the scores in the index of open tasks, where it would wait,
--         its owner's assigned queue, active queue and auto-assigned subset, and the orphans' queue. No
--         scores for a task that is finished.
-- Errors  none
-- Emits   nothing
local fields = { 'id', 'text', 'status', 'priority', 'assignedTo', 'attempt', 'metadata', 'result', 'error', 'createdAt',
  'updatedAt', 'completedAt', 'seq', 'queuedAt', 'claimedAt', 'assignedSeq', 'previousAssignment', 'roleset' }

local reply = { moment() }
for i = 1, #ARGV, 2 do
  local id, orphans = ARGV[i], ARGV[i + 1]
  local task = redis.call('HMGET', prefix .. 'task:' .. id, unpack(fields))
  local owner, finished, roleset = task[5], task[12], task[18]
  local function place(key)
    task[#task + 1] = not finished and key and redis.call('ZSCORE', key, id) or false
  end
  place(prefix .. 'queue:open')
  place(waiting_queue(roleset))
  place(owner and prefix .. 'queue:instance:' .. owner)
  place(owner and prefix .. 'queue:active:' .. owner)
  place(owner and prefix .. 'queue:auto:' .. owner)
  place(orphans ~= '' and orphans)
  reply[#reply + 1] = task
end
return reply
