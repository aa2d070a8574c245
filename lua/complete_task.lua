--- @include "lib/log"
--- @include "lib/guard"
--- @include "lib/idempotency"
--- @include "lib/task_state"
--- @include "lib/task"
--- @include "lib/held_by"
--- @include "lib/finish"
--- @lazy "lib/fail"
--- @lazy "lib/retry"
--- @lazy "lib/cancel"
--- @lazy "lib/settle_dependents"
--- @include "lib/ownership"
--- @include "lib/registered"
-- Finishes a claimed or assigned task with a result, or with an error if it failed. The caller may
-- name the owner and the attempt, the fencing token. The script then refuses the call if the task
-- has another owner or another attempt.
--- @lot 32
--
-- KEYS[1] log
-- ARGV[1] context     members of the event's envelope as JSON text: actor, cause, trace
-- ARGV[2] subject     key of the rate limit, method:actor
-- ARGV[3] calls       calls a minute, 0 for no limit; further lines hold other limits (lib/guard)
-- ARGV[4] key         hash of the idempotency key, '' for none
-- ARGV[5] digest      of the params
-- ARGV[6] id          of the task
-- ARGV[7] worker      the instance that must own the task, '' for any owner
-- ARGV[8] attempt     the task's attempt must be this one, '' for any attempt
-- ARGV[9] result      JSON text, or ''
-- ARGV[10] failure    the error as JSON text, '' if the task succeeded
-- ARGV[11] retention  how long the finished task is kept, ms
-- ARGV[12] agent      name of the calling agent's token, '' if the caller may act for all
-- ARGV[13] final      1 if a failed task must not be tried again, else 0
-- ARGV[14] cancelled  1 if the worker has ended a task because that was requested, else 0
-- Returns the method's result: {id, status, completedAt}, or {id, status, runAt} if the task is tried
--         again
-- Errors  RATE_LIMITED, NOT_FOUND, UNAUTHORIZED, NOT_REGISTERED, CONFLICT (FLUSH_IN_PROGRESS,
--         IDEMPOTENCY_KEY_REUSED, ALREADY_FINISHED, NOT_ASSIGNED, NOT_OWNER, STALE_ATTEMPT,
--         UNKNOWN_ATTEMPT, CANCEL_NOT_REQUESTED)
-- Emits   task.completed, task.failed, task.retried or task.cancelled; task.claimed before it if the
--         task was never claimed; task.unblocked and task.cancelled for tasks that waited for it
local subject, calls = ARGV[2], ARGV[3]
local key, digest = ARGV[4], ARGV[5]
local id, worker, attempt = ARGV[6], ARGV[7], ARGV[8]
local result, failure, retention, agent = ARGV[9], ARGV[10], ARGV[11], ARGV[12]
local final, cancelled = ARGV[13] == '1', ARGV[14] == '1'

-- So many tasks that depend on this one go on at once; fire_timers does the rest.
local most_dependents = 10

local refused = open_log()
if refused then return refused end
refused = limit(subject, calls)
if refused then return refused end
local kept
kept, refused = recall(key, digest)
if kept or refused then return kept or refused end
local t = read_task_state(id)
if not t then return no_task(id) end
refused = worker ~= '' and foreign_instance(agent, worker)
if refused then return refused end
refused = not_held(t, worker, attempt)
if refused then return refused end
-- This check comes last. An agent whose task has another owner by now gets a conflict that says so,
-- and not UNAUTHORIZED.
refused = foreign_instance(agent, t.assignedTo)
if refused then return refused end
if not registered(t.assignedTo) then
  return redis.error_reply('NOT_REGISTERED {"instanceId":' .. quote(t.assignedTo) .. '}')
end

if cancelled and not t.cancel then return conflict('CANCEL_NOT_REQUESTED') end

claim_first(t)
local again = false
if cancelled then
  rare().end_cancelled(t, nil, nil, retention)
elseif failure == '' then
  complete(t, result, retention)
else
  again = not final and t.options and rare().try_again(t, failure)
  if not again then rare().fail(t, result, failure, retention) end
end
if t.extras then rare().settle_dependents(most_dependents, retention) end
if worker ~= '' then sign_of_life(worker) end
local answer = '{"id":"' .. t.id .. '","status":"' .. t.status .. '",'
  .. (again and '"runAt":"' .. iso(tonumber(t.runAt)) or '"completedAt":"' .. at) .. '"}'
remember(key, digest, answer)
return answer
