--- @include "lib/log"
--- @include "lib/guard"
--- @include "lib/task"
--- @include "lib/conflict"
--- @include "lib/cancel"
--- @include "lib/deadlines"
--- @include "lib/task_ownership"
--- @include "lib/changed_status"
-- Calls a task off. A task that nobody works on is cancelled at once. The worker of a claimed task
-- gets a grace to end it; then the task is taken away.
--- @lot 8
--
-- KEYS[1] log
-- ARGV[1] context    members of the event's envelope as JSON text: actor, cause, trace
-- ARGV[2] subject    key of the rate limit, method:actor
-- ARGV[3] calls      calls a minute, 0 for no limit; further lines hold other limits (lib/guard)
-- ARGV[4] id         of the task
-- ARGV[5] reason     JSON text
-- ARGV[6] grace      of the worker, ms
-- ARGV[7] actor      who cancels the task, JSON text
-- ARGV[8] retention  how long a finished task is kept, ms
-- ARGV[9] agent      name of the calling agent's token, '' if the caller may act for all
-- ARGV[10] statuses  that the task must have one of, between commas; '' for any
-- Returns the method's result: {id, status, cancelRequested, cancelAt?, completedAt?}
-- Errors  RATE_LIMITED, NOT_FOUND, UNAUTHORIZED, CONFLICT (FLUSH_IN_PROGRESS, ALREADY_FINISHED,
--         STATUS_CHANGED)
-- Emits   task.cancelled or task.cancel_requested; task.unblocked for a task whose turn comes; nothing if the task was called off before
local subject, calls, id, reason, grace = ARGV[2], ARGV[3], ARGV[4], ARGV[5], tonumber(ARGV[6])
local actor, retention, agent, statuses = ARGV[7], ARGV[8], ARGV[9], ARGV[10]

local refused = open_log() or limit(subject, calls)
if refused then return refused end
local t = read_task(id)
if not t then return no_task(id) end
refused = foreign_task(agent, t) or changed_status(t, statuses)
if refused then return refused end

-- called_off returns the method's result.
local function called_off()
  local ends = t.completedAt and ',"completedAt":"' .. t.completedAt or ',"cancelAt":"' .. iso(tonumber(t.cancelAt))
  return '{"id":"' .. t.id .. '","status":"' .. t.status .. '","cancelRequested":' .. tostring(not t.completedAt) .. ends .. '"}'
end
if t.completedAt then
  if t.status == 'cancelled' then return called_off() end
  return conflict('ALREADY_FINISHED', '"status":"' .. t.status .. '"')
end
if t.cancel then return statuses == '' and called_off() or conflict('STATUS_CHANGED') end
if t.status ~= 'in_progress' or grace == 0 then
  end_cancelled(t, actor, reason, retention)
  return called_off()
end

t.cancelAt = int(clock + grace)
t.cancel = cancellation(actor, reason, at, iso(tonumber(t.cancelAt)))
local n = emit('task.cancel_requested', '{"id":"' .. t.id .. '","by":' .. actor .. ',"reason":' .. reason .. ',"workerId":'
  .. quote(t.assignedTo) .. ',"attempt":' .. t.attempt .. ',"requestedAt":"' .. at .. '","cancelAt":"' .. iso(tonumber(t.cancelAt)) .. '"}')
redis.call('HSET', prefix .. 'task:' .. id, 'cancel', t.cancel, 'cancelAt', t.cancelAt, 'extras', '1', 'updatedAt', at, 'seq', n)
watch(t)
redis.call('ZADD', prefix .. 'queue:cancelling:' .. t.assignedTo, t.cancelAt, id)
if redis.call('EXISTS', prefix .. 'instance:' .. t.assignedTo) == 1 then
  redis.call('HSET', prefix .. 'instance:' .. t.assignedTo, 'cancels', '1')
end
return called_off()
