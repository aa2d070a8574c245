--- @include "lib/log"
--- @include "lib/guard"
--- @include "lib/answer"
--- @lazy "lib/extras"
--- @include "lib/task"
--- @include "lib/conflict"
--- @include "lib/fit"
--- @include "lib/release"
--- @include "lib/fail"
--- @include "lib/task_ownership"
--- @include "lib/paused"
-- Changes a task's text, priority, metadata or status. If a task is assigned but not claimed, and
-- now requires a role that its owner lacks, it goes back to its waiting queue.
--
-- KEYS[1] log
-- ARGV[1] context     members of the event's envelope as JSON text: actor, cause, trace
-- ARGV[2] subject     key of the rate limit, method:actor
-- ARGV[3] calls       calls a minute, 0 for no limit; further lines hold other limits (lib/guard)
-- ARGV[4] id          of the task
-- ARGV[5] text        new text, or ''
-- ARGV[6] priority    new priority, or ''
-- ARGV[7] status      new status, or ''
-- ARGV[8] metadata    the whole new metadata as JSON text, '' to keep it
-- ARGV[9] members     metadata members that the call gave, JSON text
-- ARGV[10] read       the metadata that the new metadata was built from
-- ARGV[11] roleset    role set of the new metadata, or ''
-- ARGV[12] actor      who changes the task, JSON text
-- ARGV[13] retention  how long a finished task is kept, ms
-- ARGV[14] agent      name of the calling agent's token, '' if the caller may act for all
-- Returns the task object
-- Errors  RATE_LIMITED, NOT_FOUND, UNAUTHORIZED, NOT_REGISTERED, METADATA_CHANGED (the metadata is
--         no longer what the caller read; read it again), CONFLICT (FLUSH_IN_PROGRESS,
--         ALREADY_FINISHED, NOT_ASSIGNED, ROLES_MISSING, QUEUE_PAUSED, TOO_MANY_ROLE_SETS)
-- Emits   task.updated, then what follows from it: task.unassigned (released, roles_changed),
--         task.claimed, task.completed, task.failed, task.cancelled; task.unblocked
local subject, calls, id = ARGV[2], ARGV[3], ARGV[4]
local text, priority, status = ARGV[5], ARGV[6], ARGV[7]
local metadata, members, read, roleset = ARGV[8], ARGV[9], ARGV[10], ARGV[11]
local actor, retention, agent = ARGV[12], ARGV[13], ARGV[14]

local refused = open_log() or limit(subject, calls)
if refused then return refused end
local t = read_task(id)
if not t then return no_task(id) end
if metadata ~= '' and read ~= (t.metadata or '') then return redis.error_reply('METADATA_CHANGED {}') end
refused = foreign_task(agent, t)
if refused then return refused end
if status ~= '' then
  if t.completedAt then return conflict('ALREADY_FINISHED', '"status":"' .. t.status .. '"') end
  if status ~= 'pending' or t.status == 'scheduled' or t.status == 'blocked' then
    if not t.assignedTo then return conflict('NOT_ASSIGNED') end
    -- The agent that created the task may change it, but may claim and finish it only for its own
    -- instances, as in complete_task.
    refused = foreign_instance(agent, t.assignedTo)
    if refused then return refused end
    if redis.call('EXISTS', prefix .. 'instance:' .. t.assignedTo) == 0 then
      return redis.error_reply('NOT_REGISTERED {"instanceId":' .. quote(t.assignedTo) .. '}')
    end
  end
end
local regroup = metadata ~= '' and roleset ~= (t.roleset or '')
local unfit = regroup and t.status == 'pending' and t.assignedTo
  and not fits(role_table(redis.call('HGET', prefix .. 'health:roles', t.assignedTo) or '[]'), roleset)
if unfit and status ~= '' and status ~= 'pending' then return conflict('ROLES_MISSING', '"roles":' .. roleset) end
if status == 'in_progress' and t.status == 'pending' and is_paused(metadata ~= '' and roleset or t.roleset) then
  return conflict('QUEUE_PAUSED')
end
refused = regroup and not t.completedAt and refuse_roleset(roleset, t.roleset, agent)
if refused then return refused end

local changes = {}
if text ~= '' then changes[#changes + 1] = '"text":' .. quote(text) end
if priority ~= '' then changes[#changes + 1] = '"priority":' .. priority end
-- The event has only the members that the call gave, because the whole metadata can be 1 MiB long.
-- It has none if they change nothing.
if metadata ~= read then changes[#changes + 1] = '"metadataChanges":' .. members end
if status ~= '' then changes[#changes + 1] = '"status":"' .. status .. '"' end
local n = emit('task.updated', '{"id":"' .. t.id .. '","changes":{' .. table.concat(changes, ',') .. '},"previousPriority":'
  .. t.priority .. ',"status":"' .. t.status .. '","updatedAt":"' .. at .. '","updatedBy":' .. actor .. '}', nil, '2')

local key = prefix .. 'task:' .. id
redis.call('HSET', key, 'updatedAt', at, 'seq', n)
t.updatedAt = at
if text ~= '' then
  redis.call('HSET', key, 'text', text)
  t.text = text
end
if metadata ~= '' then
  redis.call('HSET', key, 'metadata', metadata, 'roleset', roleset)
  t.metadata = metadata
end
if regroup and not t.completedAt then
  if t.status == 'pending' and not t.assignedTo then
    redis.call('ZREM', waiting_queue(t.roleset), id)
    redis.call('ZADD', waiting_queue(roleset), score(t.priority, id), id)
    wake_workers(roleset)
  end
  release_roleset(t.roleset)
  hold_roleset(roleset, agent)
end
if metadata ~= '' then t.roleset = roleset end
if priority ~= '' then
  redis.call('HSET', key, 'priority', priority)
  t.priority = priority
  if not t.completedAt then
    -- XX: a task in an orphan queue is in no queue of its instance and must not enter one.
    -- requeue_orphans takes the new priority from the task's hash.
    local position = score(priority, id)
    redis.call('ZADD', prefix .. 'queue:open', 'XX', position, id)
    if t.status == 'blocked' then redis.call('ZADD', prefix .. 'queue:blocked', 'XX', position, id) end
    local limit_key = t.options and rare().option(t, 'limitKey')
    if limit_key then
      redis.call('ZADD', prefix .. 'queue:turns:' .. limit_key, 'XX', position, id)
      redis.call('ZADD', prefix .. 'queue:limited:' .. limit_key, 'XX', position, id)
      redis.call('ZADD', prefix .. 'queue:relimits', 'XX', 'inf', limit_key) -- a step would miss a task that moved
    end
    if not t.assignedTo then
      redis.call('ZADD', waiting_queue(t.roleset), 'XX', position, id)
    else
      redis.call('ZADD', prefix .. 'queue:instance:' .. t.assignedTo, 'XX', position, id)
      redis.call('ZADD', prefix .. 'queue:auto:' .. t.assignedTo, 'XX', position, id)
      redis.call('ZADD', prefix .. 'queue:active:' .. t.assignedTo, 'XX', position, id)
    end
  end
end

if status == 'pending' and t.assignedTo then
  release(t, 'released', retention)
elseif unfit then
  release(t, 'roles_changed', retention)
elseif status == 'in_progress' and t.status == 'pending' then
  claim(t, t.assignedTo)
  withdraw(t.assignedTo, id)
  settle(t.assignedTo)
elseif status == 'completed' then
  claim_first(t)
  complete(t, '', retention)
elseif status == 'failed' then
  claim_first(t)
  fail(t, '', '', retention)
end
return counted_answer(calls, task_object(t))
