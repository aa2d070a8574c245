--- @include "lib/log"
--- @include "lib/guard"
--- @include "lib/idempotency"
--- @include "lib/task_state"
--- @include "lib/task"
--- @include "lib/conflict"
--- @include "lib/finish"
--- @include "lib/ownership"
--- @include "lib/registered"
-- Ends a task for its owner.
--- @lot 32
--
-- KEYS[1] log
-- ARGV[1] context   inside of the envelope: actor, cause, trace
-- ARGV[2] subject   method:actor of the rate limit
-- ARGV[3] calls     a minute and actor, 0 for no limit
-- ARGV[4] key       hash of the idempotency key, or ''
-- ARGV[5] digest    of the params
-- ARGV[6] id        of the task
-- ARGV[7] worker    who must own it, or '' for whoever does
-- ARGV[8] attempt   which must be the task's, or ''
-- ARGV[9] result    JSON text, or ''
-- ARGV[10] failure  the error, JSON text, or '' when it succeeded
-- ARGV[11] retention  ms that the finished task is kept
-- ARGV[12] agent    name of an agent's token, '' for who may act for all
-- Returns the method's result: {id, status, completedAt}
-- Errors  RATE_LIMITED, NOT_FOUND, UNAUTHORIZED, NOT_REGISTERED, CONFLICT (FLUSH_IN_PROGRESS,
--         IDEMPOTENCY_KEY_REUSED, ALREADY_FINISHED, NOT_ASSIGNED, NOT_OWNER, STALE_ATTEMPT,
--         UNKNOWN_ATTEMPT)
-- Emits   task.completed or task.failed, task.claimed before it when the task was never claimed
local subject, calls = ARGV[2], ARGV[3]
local key, digest = ARGV[4], ARGV[5]
local id, worker, attempt = ARGV[6], ARGV[7], ARGV[8]
local result, failure, retention, agent = ARGV[9], ARGV[10], ARGV[11], ARGV[12]

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
if t.completedAt then return conflict('ALREADY_FINISHED', '"status":"' .. t.status .. '"') end
if not t.assignedTo then return conflict('NOT_ASSIGNED') end
if worker ~= '' and worker ~= t.assignedTo then return conflict('NOT_OWNER', '"assignedTo":' .. quote(t.assignedTo)) end
if attempt ~= '' and attempt ~= t.attempt then
  if tonumber(attempt) > tonumber(t.attempt) then return conflict('UNKNOWN_ATTEMPT', '"attempt":' .. t.attempt) end
  return conflict('STALE_ATTEMPT', '"attempt":' .. t.attempt)
end
-- Last, so that an agent whose task has another owner by now is told that, and not that it may not.
refused = foreign_instance(agent, t.assignedTo)
if refused then return refused end
if not registered(t.assignedTo) then
  return redis.error_reply('NOT_REGISTERED {"instanceId":' .. quote(t.assignedTo) .. '}')
end

finish(t, failure == '' and 'completed' or 'failed', result, failure, retention)
local answer = '{"id":"' .. t.id .. '","status":"' .. t.status .. '","completedAt":"' .. at .. '"}'
remember(key, digest, answer)
return answer
