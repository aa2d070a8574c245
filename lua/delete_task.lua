--- @include "lib/log"
--- @include "lib/guard"
--- @include "lib/task"
--- @include "lib/finish"
--- @include "lib/task_ownership"
--- @include "lib/changed_status"
-- Deletes a task, whatever its status.
--- @lot 8
--
-- KEYS[1] log
-- ARGV[1] context  members of the event's envelope as JSON text: actor, cause, trace
-- ARGV[2] subject  key of the rate limit, method:actor
-- ARGV[3] calls    calls a minute, 0 for no limit; further lines hold other limits (lib/guard)
-- ARGV[4] id       of the task
-- ARGV[5] actor    who deletes the task, JSON text
-- ARGV[6] agent    name of the calling agent's token, '' if the caller may act for all
-- ARGV[7] statuses  that the task must have one of, between commas; '' for any
-- Returns the method's result: {id, deleted, deletedAt}
-- Errors  RATE_LIMITED, NOT_FOUND, UNAUTHORIZED, CONFLICT (FLUSH_IN_PROGRESS, STATUS_CHANGED)
-- Emits   task.deleted; task.unblocked for a task whose turn comes by that
local subject, calls, id, actor, agent, statuses = ARGV[2], ARGV[3], ARGV[4], ARGV[5], ARGV[6], ARGV[7]

local refused = open_log() or limit(subject, calls)
if refused then return refused end
local t = read_task(id)
if not t then return no_task(id) end
refused = foreign_task(agent, t) or changed_status(t, statuses)
if refused then return refused end

emit('task.deleted', '{"id":"' .. t.id .. '","deletedAt":"' .. at .. '","deletedBy":' .. actor
  .. ',"previousStatus":"' .. t.status .. '","previousAssignment":' .. quoted(t.assignedTo) .. '}')
if not t.completedAt then close_task(t, 'deleted', 1) end
redis.call('UNLINK', prefix .. 'task:' .. id)
return '{"id":"' .. t.id .. '","deleted":true,"deletedAt":"' .. at .. '"}'
