--- @include "lib/log"
--- @include "lib/guard"
--- @include "lib/task"
--- @include "lib/conflict"
--- @include "lib/release"
--- @include "lib/task_ownership"
-- Takes a task from its owner, whether it is claimed or not, and puts it back into its waiting
-- queue. The task returns to its old position there.
--
-- KEYS[1] log
-- ARGV[1] context    members of the event's envelope as JSON text: actor, cause, trace
-- ARGV[2] subject    key of the rate limit, method:actor
-- ARGV[3] calls      calls a minute, 0 for no limit; further lines hold other limits (lib/guard)
-- ARGV[4] id         of the task
-- ARGV[5] agent      name of the calling agent's token, '' if the caller may act for all
-- ARGV[6] retention  how long a finished task is kept, ms
-- Returns the method's result: {taskId, previousAssignment, unassignedAt}
-- Errors  RATE_LIMITED, NOT_FOUND, UNAUTHORIZED, CONFLICT (FLUSH_IN_PROGRESS, ALREADY_FINISHED,
--         NOT_ASSIGNED)
-- Emits   task.unassigned (requested); task.cancelled if a cancellation was requested, and
--         task.unblocked for a task whose turn comes by that
local subject, calls, id, agent, retention = ARGV[2], ARGV[3], ARGV[4], ARGV[5], ARGV[6]

local refused = open_log() or limit(subject, calls)
if refused then return refused end
local t = read_task(id)
if not t then return no_task(id) end
refused = foreign_task(agent, t)
if refused then return refused end
if t.completedAt then return conflict('ALREADY_FINISHED', '"status":"' .. t.status .. '"') end
if not t.assignedTo then return conflict('NOT_ASSIGNED') end

local owner = t.assignedTo
release(t, 'requested', retention)
return '{"taskId":"' .. t.id .. '","previousAssignment":' .. quote(owner) .. ',"unassignedAt":"' .. at .. '"}'
