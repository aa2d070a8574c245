--- @include "lib/create"
--- @include "lib/needs"
--- @include "lib/task"
--- @include "lib/cancel"
-- What creating a task depends on. plan_task checks it, and create_planned creates the task.

-- plan_task returns a table: existing, the unfinished task with the same uniqueKey (a table of
-- read_task), or what create_planned needs to know. If the task may not be created, the second result
-- is an error reply. options is JSON text, or nil. agent is as in lib/rolesets.
local function plan_task(roleset, agent, options)
  local wanted = options and cjson.decode(options) or {}
  local existing = wanted.uniqueKey and redis.call('HGET', prefix .. 'queue:unique', wanted.uniqueKey)
  local plan = { wanted = wanted, existing = existing and read_task(existing) }
  -- A coordinator of an earlier version leaves the key of a task that it ends.
  if plan.existing and plan.existing.completedAt then plan.existing = nil end
  if plan.existing then return plan end
  local refused
  if wanted.dependsOn then
    plan.waits_for, plan.ended, refused = unfinished_needs(wanted.dependsOn)
    if refused then return plan, refused end
  end
  return plan, refuse_roleset(roleset, nil, agent)
end

-- create_planned creates a task as create does. It is cancelled at once if it depends on a task that
-- has failed or was cancelled. It returns the answer of task.create, the task's id and status, and for
-- a cancelled task the cancellation as the task object has it. Emits task.created, then task.cancelled.
local function create_planned(plan, text, priority, metadata, roleset, creator, agent, run_at, options, retention)
  local object, id, status = create(text, priority, metadata, roleset, creator, agent, run_at, options, plan.waits_for)
  local ended = plan.ended
  if ended and plan.wanted.onDependencyFailure == 'cancel' then
    local t = read_task(id)
    end_cancelled(t, quote(ended[1]), quote('dependency ' .. ended[1] .. (ended[2] == 'failed' and ' failed' or ' was cancelled')), retention)
    return string.sub(task_object(t), 1, -2) .. ',"created":true}', id, t.status, t.cancel
  end
  return object, id, status
end
