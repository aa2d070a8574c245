--- @include "lib/log"
--- @include "lib/guard"
--- @include "lib/task"
--- @include "lib/conflict"
--- @include "lib/fit"
--- @include "lib/assign"
--- @include "lib/settle"
--- @include "lib/task_ownership"
--- @include "lib/wakeups"
-- Assigns a waiting task to the given instance, however many tasks the instance already holds. The
-- instance must have every role that the task requires.
--
-- KEYS[1] log
-- ARGV[1] context   members of the event's envelope as JSON text: actor, cause, trace
-- ARGV[2] subject   key of the rate limit, method:actor
-- ARGV[3] calls     calls a minute, 0 for no limit; further lines hold other limits (lib/guard)
-- ARGV[4] id        of the task
-- ARGV[5] instance  that gets the task
-- ARGV[6] agent     name of the calling agent's token, '' if the caller may act for all
-- Returns the method's result: {taskId, instanceId, assignedAt}
-- Errors  RATE_LIMITED, NOT_FOUND, UNAUTHORIZED, NOT_REGISTERED, CONFLICT (FLUSH_IN_PROGRESS,
--         ALREADY_FINISHED, NOT_PENDING, ALREADY_ASSIGNED, ROLES_MISSING)
-- Emits   task.assigned (requested)
local subject, calls, id, instance, agent = ARGV[2], ARGV[3], ARGV[4], ARGV[5], ARGV[6]

local refused = open_log() or limit(subject, calls)
if refused then return refused end
local t = read_task(id)
if not t then return no_task(id) end
refused = foreign_task(agent, t)
if refused then return refused end
if t.completedAt then return conflict('ALREADY_FINISHED', '"status":"' .. t.status .. '"') end
if t.status == 'scheduled' or t.status == 'blocked' then return conflict('NOT_PENDING', '"status":"' .. t.status .. '"') end
if t.assignedTo then return conflict('ALREADY_ASSIGNED', '"assignedTo":' .. quote(t.assignedTo)) end
local roles = redis.call('HGET', prefix .. 'instance:' .. instance, 'roles')
if not roles then return redis.error_reply('NOT_REGISTERED {"instanceId":' .. quote(instance) .. '}') end
refused = foreign_instance(agent, instance)
if refused then return refused end
if not fits(role_table(roles), t.roleset) then return conflict('ROLES_MISSING', '"roles":' .. t.roleset) end

assign(t, instance, 'requested')
wake_instance(instance)
redis.call('ZREM', waiting_queue(t.roleset), id)
settle(instance)
return '{"taskId":"' .. t.id .. '","instanceId":' .. quote(instance) .. ',"assignedAt":"' .. at .. '"}'
