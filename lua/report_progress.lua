--- @include "lib/log"
--- @include "lib/guard"
--- @lazy "lib/extras"
--- @include "lib/task_state"
--- @include "lib/task"
--- @include "lib/held_by"
--- @include "lib/deadlines"
--- @include "lib/ownership"
--- @include "lib/registered"
-- Notes how far a worker is with a task that it has claimed, and begins the task's time limit anew.
--- @lot 16
--
-- KEYS[1] log
-- ARGV[1] context  members of the event's envelope as JSON text: actor, cause, trace
-- ARGV[2] subject  key of the rate limit, method:actor
-- ARGV[3] calls    calls a minute, 0 for no limit; further lines hold other limits (lib/guard)
-- ARGV[4] id       of the task
-- ARGV[5] worker   the instance that has claimed the task
-- ARGV[6] attempt  the task's attempt
-- ARGV[7] percent  JSON text
-- ARGV[8] message  JSON text
-- ARGV[9] data     JSON text
-- ARGV[10] agent   name of the calling agent's token, '' if the caller may act for all
-- Returns the method's result: {cancelRequested, timeoutAt?}
-- Errors  RATE_LIMITED, NOT_FOUND, UNAUTHORIZED, NOT_REGISTERED, CONFLICT (FLUSH_IN_PROGRESS,
--         ALREADY_FINISHED, NOT_ASSIGNED, NOT_CLAIMED, NOT_OWNER, STALE_ATTEMPT, UNKNOWN_ATTEMPT)
-- Emits   task.progressed
local subject, calls, id, worker, attempt = ARGV[2], ARGV[3], ARGV[4], ARGV[5], ARGV[6]
local percent, message, data, agent = ARGV[7], ARGV[8], ARGV[9], ARGV[10]

local refused = open_log()
if refused then return refused end
refused = limit(subject, calls)
if refused then return refused end
local t = read_task_state(id)
if not t then return no_task(id) end
refused = foreign_instance(agent, worker)
if refused then return refused end
local in_progress = t.status == 'in_progress'
refused = not_held(t, worker, in_progress and attempt or '')
if refused then return refused end
if not in_progress then return conflict('NOT_CLAIMED', '"status":"' .. t.status .. '"') end
if not registered(worker) then return redis.error_reply('NOT_REGISTERED {"instanceId":' .. quote(worker) .. '}') end

local limit_ms = rare().option(t, 'timeoutMs')
if limit_ms then t.timeoutAt = int(clock + limit_ms) end
local timeout = t.timeoutAt and '"' .. iso(tonumber(t.timeoutAt)) .. '"'
local said = '"percent":' .. percent .. ',"message":' .. message .. ',"data":' .. data
local n = emit('task.progressed', '{"id":"' .. t.id .. '","workerId":' .. quote_name(worker) .. ',"attempt":' .. t.attempt .. ',' .. said
  .. ',"timeoutAt":' .. (timeout or 'null') .. ',"progressedAt":"' .. at .. '"}')
local key = prefix .. 'task:' .. id
redis.call('HSET', key, 'progress', '{' .. said .. ',"at":"' .. at .. '"}', 'extras', '1', 'updatedAt', at, 'seq', n)
if limit_ms then
  redis.call('HSET', key, 'timeoutAt', t.timeoutAt)
  watch(t)
end
sign_of_life(worker)
return '{"cancelRequested":' .. tostring(t.cancel and true or false) .. (timeout and ',"timeoutAt":' .. timeout or '') .. '}'
