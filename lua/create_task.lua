--- @include "lib/log"
--- @include "lib/guard"
--- @include "lib/idempotency"
--- @include "lib/create"
--- @lazy "lib/new_task"
--- @lazy "lib/task"
-- Creates a task and puts it into its waiting queue.
--- @lot 32
--
-- KEYS[1] log
-- ARGV[1] context   members of the event's envelope as JSON text: actor, cause, trace
-- ARGV[2] subject   key of the rate limit, method:actor
-- ARGV[3] calls     calls a minute, 0 for no limit; further lines hold other limits (lib/guard)
-- ARGV[4] key       hash of the idempotency key, '' for none
-- ARGV[5] digest    of the params
-- ARGV[6] text
-- ARGV[7] priority
-- ARGV[8] metadata  JSON text, or ''
-- ARGV[9] roleset   role set of the task as a sorted JSON array, or ''
-- ARGV[10] creator   name of the caller's token, or ''
-- ARGV[11] agent     name of the calling agent's token, '' if the caller may act for all
-- ARGV[12] moment    when the task becomes claimable, ms since 1970; '' for at once
-- ARGV[13] delay     how long until then, ms, instead of moment; '' for none
-- ARGV[14] options   JSON object with all defaults (lib/extras), '' for a task without options
-- ARGV[15] retention how long a finished task is kept, ms
-- Returns the task object, with created: false for the unfinished task that has the same uniqueKey
-- Errors  RATE_LIMITED, NOT_FOUND (a task to depend on), CONFLICT (FLUSH_IN_PROGRESS, IDEMPOTENCY_KEY_REUSED, TOO_MANY_ROLE_SETS)
-- Emits   task.created; task.cancelled if it depends on a task that has failed or was cancelled;
--         task.unblocked if another task has its turn by that
local subject, calls = ARGV[2], ARGV[3]
local key, digest = ARGV[4], ARGV[5]
local text, priority, metadata, roleset, creator, agent = ARGV[6], ARGV[7], ARGV[8], ARGV[9], ARGV[10], ARGV[11]
local moment, delay, options, retention = ARGV[12], ARGV[13], ARGV[14], ARGV[15]

local refused = open_log()
if refused then return refused end
refused = limit(subject, calls)
if refused then return refused end
if options == '' then options = nil end
local kept
kept, refused = recall(key, digest)
if refused then return refused end

-- answer_again returns the answer to a repeated call.
local function answer_again(first)
  if first.existing then
    local t = rare().read_task(first.existing)
    return t and rare().existing_object(t) or rare().no_task(first.existing)
  end
  if first.cancel then
    local ended = { id = first.id, text = text, status = first.status, priority = priority, attempt = '0', metadata = metadata,
      createdAt = first.createdAt, updatedAt = first.createdAt, completedAt = first.createdAt, extras = '1', runAt = first.runAt,
      options = options, cancel = first.cancel }
    return string.sub(rare().task_object(ended), 1, -2) .. ',"created":true}'
  end
  local members = created_members(first.id, first.createdAt, text, priority, metadata, first.status or 'pending')
  return created_object(members, first.runAt, options)
end
if kept then return is_whole(kept) and kept or answer_again(cjson.decode(kept)) end

local run_at = delay ~= '' and int(clock + delay) or moment ~= '' and moment or nil
local object, id, status, cancel
if options then
  local plan
  plan, refused = rare().plan_task(roleset, agent, options)
  if refused then return refused end
  if plan.existing then
    remember(key, digest, '{"existing":"' .. plan.existing.id .. '"}')
    return rare().existing_object(plan.existing)
  end
  object, id, status, cancel = rare().create_planned(plan, text, priority, metadata, roleset, creator, agent, run_at, options, retention)
else
  refused = refuse_roleset(roleset, nil, agent)
  if refused then return refused end
  object, id, status = create(text, priority, metadata, roleset, creator, agent, run_at)
end
local more = (run_at or options) and ',"status":"' .. status .. '"' .. (run_at and ',"runAt":"' .. run_at .. '"' or '')
  .. (cancel and ',"cancel":' .. quote(cancel) or '') or ''
remember(key, digest, '{"id":"' .. id .. '","createdAt":"' .. at .. '"' .. more .. '}')
return object
