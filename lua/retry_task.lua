--- @include "lib/log"
--- @include "lib/guard"
--- @lazy "lib/extras"
--- @include "lib/task"
--- @include "lib/conflict"
--- @include "lib/rolesets"
--- @include "lib/turns"
--- @include "lib/task_ownership"
--- @include "lib/changed_status"
-- Revives a failed or cancelled task: it is tried again from the beginning, and no longer waits for
-- other tasks.
--- @lot 16
--
-- KEYS[1] log
-- ARGV[1] context  members of the event's envelope as JSON text: actor, cause, trace
-- ARGV[2] subject  key of the rate limit, method:actor
-- ARGV[3] calls    calls a minute, 0 for no limit; further lines hold other limits (lib/guard)
-- ARGV[4] id       of the task
-- ARGV[5] actor    who revives the task, JSON text
-- ARGV[6] agent    name of the calling agent's token, '' if the caller may act for all
-- ARGV[7] statuses  that the task must have one of, between commas; '' for any
-- Returns {id, status, attempt} as JSON text
-- Errors  RATE_LIMITED, NOT_FOUND, UNAUTHORIZED, CONFLICT (FLUSH_IN_PROGRESS, NOT_FAILED,
--         UNIQUE_KEY_TAKEN, TOO_MANY_ROLE_SETS, STATUS_CHANGED)
-- Emits   task.revived
local subject, calls, id, actor, agent, statuses = ARGV[2], ARGV[3], ARGV[4], ARGV[5], ARGV[6], ARGV[7]

local refused = open_log()
if refused then return refused end
refused = limit(subject, calls)
if refused then return refused end
local t = read_task(id)
if not t then return no_task(id) end
refused = foreign_task(agent, t) or changed_status(t, statuses)
if refused then return refused end
if t.status ~= 'failed' and t.status ~= 'cancelled' then return conflict('NOT_FAILED', '"status":"' .. t.status .. '"') end
local unique = rare().option(t, 'uniqueKey')
local holder = unique and redis.call('HGET', prefix .. 'queue:unique', unique)
if holder then
  local other = redis.call('HMGET', prefix .. 'task:' .. holder, 'id', 'completedAt') -- it may have ended by an earlier version
  if other[1] and not other[2] then return conflict('UNIQUE_KEY_TAKEN', '"id":"' .. holder .. '"') end
end
refused = refuse_roleset(t.roleset or '', nil, agent)
if refused then return refused end

t.open = false
local status = ready_status(t)
local n = emit('task.revived', '{"id":"' .. t.id .. '","by":' .. actor .. ',"status":"' .. status .. '","previousStatus":"' .. t.status
  .. '","attempt":' .. t.attempt .. ',"revivedAt":"' .. at .. '"}')
local key = prefix .. 'task:' .. id
redis.call('PERSIST', key)
redis.call('HDEL', key, 'completedAt', 'result', 'error', 'failures', 'losses', 'errors', 'progress', 'cancel', 'assignedTo', 'assignedSeq',
  'claimedAt', 'open')
redis.call('HSET', key, 'status', status, 'queuedAt', now_text, 'updatedAt', at, 'seq', n)
if t.assignedTo then redis.call('HSET', key, 'previousAssignment', t.assignedTo) end
if unique then redis.call('HSET', prefix .. 'queue:unique', unique, id) end
enqueue(prefix .. 'queue:open', score(t.priority, id), id)
hold_roleset(t.roleset or '', agent)
enter(t, status)
return '{"id":"' .. t.id .. '","status":"' .. status .. '","attempt":' .. t.attempt .. '}'
