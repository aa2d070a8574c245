--- @include "lib/moment"
--- @include "lib/queue"
-- Reads tasks and their places in the queues at one moment, to be compared with the log.
--- @readonly
--
-- KEYS[1] log
-- ARGV[1…] ids
-- Returns {seq of the last event, for each task a list of 18 fields, 6 scores and a name}; what is not
--         there is nil. The fields in the order below; the scores in the index of open tasks, where it
--         would wait, its owner's assigned queue, active queue and auto-assigned subset, and the orphans'
--         queue that has the name. No scores for a task that is finished; an orphans' queue is looked
--         for, among the 100 oldest, only when the task is in no other.
-- Errors  none
-- Emits   nothing
local fields = { 'id', 'text', 'status', 'priority', 'assignedTo', 'attempt', 'metadata', 'result', 'error', 'createdAt',
  'updatedAt', 'completedAt', 'seq', 'queuedAt', 'claimedAt', 'assignedSeq', 'previousAssignment', 'roleset' }

local listed
-- orphaned finds a task among the queues that instances left behind: its score, and the queue's name.
local function orphaned(id)
  listed = listed or redis.call('ZRANGE', prefix .. 'queue:orphaned', 0, 99)
  for _, entry in ipairs(listed) do
    local name = cjson.decode(entry).queue
    local score = redis.call('ZSCORE', prefix .. 'queue:orphans:' .. name, id)
    if score then return score, name end
  end
  return false, false
end

local reply = { moment() }
for i, id in ipairs(ARGV) do
  local task = redis.call('HMGET', prefix .. 'task:' .. id, unpack(fields))
  local owner, finished, roleset = task[5], task[12], task[18]
  local n = #fields
  for place = 1, 7 do task[n + place] = false end
  if not finished then
    task[n + 1] = redis.call('ZSCORE', prefix .. 'queue:open', id)
    task[n + 2] = redis.call('ZSCORE', waiting_queue(roleset), id)
    if owner then
      task[n + 3] = redis.call('ZSCORE', prefix .. 'queue:instance:' .. owner, id)
      task[n + 4] = redis.call('ZSCORE', prefix .. 'queue:active:' .. owner, id)
      task[n + 5] = redis.call('ZSCORE', prefix .. 'queue:auto:' .. owner, id)
      if not task[n + 3] and not task[n + 4] then task[n + 6], task[n + 7] = orphaned(id) end
    end
  end
  reply[i + 1] = task
end
return reply
