--- @include "lib/log"
--- @include "lib/task"
--- @include "lib/assign"
--- @include "lib/unassign"
--- @include "lib/fit"
--- @include "lib/settle"
-- Works off the queues that instances left behind, the oldest first, 25 tasks a call. A task goes
-- back to where it waits for a worker; when its instance is only another process or has other roles
-- (session_changed, roles_changed) it goes back to that instance's assigned queue, as long as that
-- is registered and fit for it; what was auto-assigned to one with other roles now goes to whoever
-- comes first.
--
-- KEYS[1] log
-- Returns {tasks put back, 1 when there are more else 0, the reason of the last queue}
-- Errors  CONFLICT (FLUSH_IN_PROGRESS)
-- Emits   task.unassigned or task.assigned for each
local most = 25

local refused = open_log()
if refused then return refused end
local list = prefix .. 'queue:orphaned'
local entry = redis.call('ZRANGE', list, 0, 0)[1]
if not entry then return { 0, 0, '' } end
local left = cjson.decode(entry)
local orphans = prefix .. 'queue:orphans:' .. left.queue
local since = tonumber(string.match(left.queue, '^%d+'))
-- auto lists which of them were auto-assigned. In older data it has the name of the event alone.
local auto = orphans .. ':auto'
local older_auto = string.match(left.queue, ':instance$') and prefix .. 'queue:orphans:' .. int(since) .. ':auto'
local roles
if left.reason == 'session_changed' or left.reason == 'roles_changed' then
  local text = redis.call('HGET', prefix .. 'instance:' .. left.instanceId, 'roles')
  roles = text and role_table(text)
end

local moved = 0
for _, id in ipairs(redis.call('ZRANGE', orphans, 0, most - 1)) do
  local t = read_task(id)
  -- A task that was finished, deleted or given to somebody since then is not an orphan any more.
  if t and not t.completedAt and t.assignedTo == left.instanceId and tonumber(t.assignedSeq) <= since then
    local was_auto = redis.call('ZSCORE', auto, id) or older_auto and redis.call('ZSCORE', older_auto, id)
    if roles and fits(roles, t.roleset) and not was_auto then
      assign(t, left.instanceId, left.reason, left.context)
    else
      unassign(t, left.reason, left.context)
    end
    moved = moved + 1
  end
  redis.call('ZREM', orphans, id)
end
if roles and moved > 0 then settle(left.instanceId) end
if redis.call('EXISTS', orphans) == 0 then
  redis.call('ZREM', list, entry)
  redis.call('UNLINK', auto, older_auto or auto)
end
return { moved, redis.call('EXISTS', list), left.reason }
