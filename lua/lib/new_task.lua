--- @include "lib/create"
--- @include "lib/options"
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

-- existing_object returns the answer of task.create for a task that was there before.
local function existing_object(t)
  return string.sub(task_object(t), 1, -2) .. ',"created":false}'
end

-- create_with_extras creates a task as task.create does. extras is a JSON object: moment, when the task
-- becomes claimable, or delay, how long until then (both in ms); options, with all defaults, as a text
-- (lib/extras); retention, how long a finished task is kept, in ms. It returns the answer, the task's
-- id, what created_again needs to give the same answer again (JSON text), and an error reply if the
-- task may not be created.
local function create_with_extras(text, priority, metadata, roleset, creator, agent, extras)
  local wanted = cjson.decode(extras)
  local plan, refused = plan_task(roleset, agent, wanted.options)
  if refused then return nil, nil, nil, refused end
  if plan.existing then return existing_object(plan.existing), nil, '{"existing":"' .. plan.existing.id .. '"}' end
  local run_at = wanted.delay and clock + wanted.delay or wanted.moment
  run_at = run_at and int(run_at)
  local answer, id, status, cancel = create_planned(plan, text, priority, metadata, roleset, creator, agent, run_at, wanted.options,
    int(wanted.retention))
  return answer, id, '{"id":"' .. id .. '","createdAt":"' .. at .. '","status":"' .. status .. '"'
    .. (run_at and ',"runAt":"' .. run_at .. '"' or '') .. (cancel and ',"cancel":' .. quote(cancel) or '') .. '}'
end

-- created_again returns the answer to a repeated call. first is what create_with_extras has returned
-- for the first one, or {id, createdAt} for a plain task.
local function created_again(first, text, priority, metadata, extras)
  if first.existing then
    local t = read_task(first.existing)
    return t and existing_object(t) or no_task(first.existing)
  end
  local options = extras ~= '' and cjson.decode(extras).options or nil
  if first.cancel then
    local ended = { id = first.id, text = text, status = first.status, priority = priority, attempt = '0', metadata = metadata,
      createdAt = first.createdAt, updatedAt = first.createdAt, completedAt = first.createdAt, extras = '1', runAt = first.runAt,
      options = options, cancel = first.cancel }
    return string.sub(task_object(ended), 1, -2) .. ',"created":true}'
  end
  local more = (first.runAt or options) and answer_members({ runAt = first.runAt, options = options }) or ''
  return created_task(first.id, first.createdAt, text, priority, metadata, first.status or 'pending', more)
end
