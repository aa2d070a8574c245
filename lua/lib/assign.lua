--- @include "lib/log"
--- @include "lib/json"
--- @include "lib/queue"
--- @lazy "lib/deadlines"
--- @lazy "lib/turns"
-- assign makes a task (a table of read_task) pending and assigns it to an instance, which may then
-- claim it. The caller removes the task from the queue that it was in. losses is as in unassign. Emits
-- task.assigned.
local function assign(t, instance, reason, context, losses)
  local n = emit('task.assigned', '{"taskId":"' .. t.id .. '","instanceId":' .. quote(instance) .. ',"previousAssignment":'
    .. quoted(t.assignedTo or t.previousAssignment) .. ',"reason":"' .. reason .. '","status":"pending","previousStatus":"'
    .. t.status .. '","assignedAt":"' .. at .. '"' .. (losses and ',"losses":' .. losses or '') .. '}', context, losses and '2')
  local key = prefix .. 'task:' .. t.id
  redis.call('ZADD', prefix .. 'queue:instance:' .. instance, score(t.priority, t.id), t.id)
  redis.call('HSET', key, 'status', 'pending', 'assignedTo', instance, 'assignedSeq', n, 'updatedAt', at, 'seq', n)
  if t.previousAssignment then redis.call('HDEL', key, 'previousAssignment') end
  if t.extras then
    rare().unwatch(t)
    if t.status == 'in_progress' then rare().reconsider(t) end
  end
  if losses then redis.call('HSET', key, 'extras', '1', 'losses', losses) end
  if t.status ~= 'pending' then redis.call('HSET', key, 'queuedAt', now_text) end
  t.status, t.assignedTo, t.updatedAt, t.previousAssignment = 'pending', instance, at, false
end
