--- @include "lib/log"
--- @include "lib/task"
--- @include "lib/assign"
--- @include "lib/unassign"
--- @include "lib/fit"
--- @include "lib/cancel"
--- @include "lib/fail"
--- @include "lib/settle"
--- @include "lib/wakeups"
-- Puts the tasks of orphan queues back into queues, the oldest orphan queue first, at most 25 tasks
-- a call. An orphan queue holds the tasks of an instance that left or died, or that registered
-- again with another session or without some of its roles.
--
-- A task goes back to its waiting queue. There is one exception: if the instance only registered
-- again (session_changed, roles_changed), is still registered and has the required roles, the task
-- goes to that instance's assigned queue. A task that had been auto-assigned goes to its waiting
-- queue even then, and any worker may get it.
--
-- A claimed task was lost with its worker. It is failed once it was lost for the losses-th time, so
-- that a task which kills its workers does not kill all of them. A task that is to be cancelled is
-- cancelled.
--
-- KEYS[1] log
-- ARGV[1] losses     after how many losses a task fails
-- ARGV[2] retention  how long a finished task is kept, ms
-- Returns {number of tasks put back, 1 if more remain else 0, reason of the orphan queue}
-- Errors  CONFLICT (FLUSH_IN_PROGRESS)
-- Emits   task.unassigned, task.assigned, task.failed or task.cancelled for each task;
--         task.unblocked for a task whose turn comes by that
local losses, retention = tonumber(ARGV[1]), ARGV[2]

local most = 25

local refused = open_log()
if refused then return refused end
local list = prefix .. 'queue:orphaned'
local entry = redis.call('ZRANGE', list, 0, 0)[1]
if not entry then return { 0, 0, '' } end
local origin = cjson.decode(entry)
local orphans = prefix .. 'queue:orphans:' .. origin.queue
local since = tonumber(string.match(origin.queue, '^%d+')) -- seq of the event that orphaned the tasks
-- auto lists the tasks of the orphan queue that were auto-assigned. In data of earlier versions its
-- key has only the seq of the event.
local auto = orphans .. ':auto'
local older_auto = string.match(origin.queue, ':instance$') and prefix .. 'queue:orphans:' .. int(since) .. ':auto'
local roles
if origin.reason == 'session_changed' or origin.reason == 'roles_changed' then
  local text = redis.call('HGET', prefix .. 'instance:' .. origin.instanceId, 'roles')
  roles = text and role_table(text)
end

local moved = 0
for _, id in ipairs(redis.call('ZRANGE', orphans, 0, most - 1)) do
  local t = read_task(id)
  -- A task that was finished, deleted or assigned after that event is no longer an orphan.
  if t and not t.completedAt and t.assignedTo == origin.instanceId and tonumber(t.assignedSeq) <= since then
    local was_auto = redis.call('ZSCORE', auto, id) or older_auto and redis.call('ZSCORE', older_auto, id)
    local lost = t.status == 'in_progress' and int((t.losses or 0) + 1)
    if lost and t.cancel then
      end_cancelled(t, nil, nil, retention, origin.context)
    elseif lost and tonumber(lost) >= losses then
      t.losses = lost
      fail(t, '', failure_for('WORKER_LOST', '"losses":' .. lost .. ',"instanceId":' .. quote(origin.instanceId)), retention,
        origin.context)
    elseif roles and fits(roles, t.roleset) and not was_auto then
      assign(t, origin.instanceId, origin.reason, origin.context, lost)
      wake_instance(origin.instanceId)
    else
      unassign(t, origin.reason, origin.context, lost)
    end
    moved = moved + 1
  end
  redis.call('ZREM', orphans, id)
end
if roles and moved > 0 then settle(origin.instanceId) end
if redis.call('EXISTS', orphans) == 0 then
  redis.call('ZREM', list, entry)
  redis.call('UNLINK', auto, older_auto or auto)
end
return { moved, redis.call('EXISTS', list), origin.reason }
