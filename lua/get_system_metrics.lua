--- @include "lib/limit_outside_flush"
--- @include "lib/failures"
--- @include "lib/depths"
--- @include "lib/fields"
--- @include "lib/pauses"
-- Reads the counters of the metrics projection and the current lengths of the queues. The cost does
-- not depend on the number of instances or tasks. The script works behind the fence of a flush too.
-- It writes nothing but the rate limit's counters.
--- @readonly
--
-- KEYS[1] log
-- ARGV[1] context   not used
-- ARGV[2] subject   key of the rate limit, method:actor
-- ARGV[3] calls     calls a minute, 0 for no limit; further lines hold other limits (lib/guard)
-- ARGV[4] ttl       of registrations, ms
-- ARGV[5] detailed  1 for all members, 0 for those up to instances
-- ARGV[6] hour      1 for all of the last hour, 0 for the last two minutes
-- Returns JSON: {clock: ms as a string, global: counters of all events and tasks, minutes: the fields
--         of the last hour or the last two minutes, open: number of open tasks, instances: number of
--         live instances, workers: number of live workers,
--         pauses: of queues as JSON text, seq: of the log's last event, checkpoint: of the projection, queues and scaling: their counters,
--         pending: number of tasks in the pending queue, scheduled and blocked: number of tasks with
--         that status, roles: {role set: number of tasks in its queue}, orphaned: number of tasks in
--         the oldest 100 orphan queues, orphanQueues: number of orphan queues, failed: number of
--         instances that failed recently, leader: {id, term, until}}. Counters are strings. A member
--         without a value is left out
-- Errors  RATE_LIMITED
-- Emits   nothing
local subject, calls, ttl, detailed, hour = ARGV[2], ARGV[3], tonumber(ARGV[4]), ARGV[5], ARGV[6]

-- The hash has four more fields for each instance, which are too many to read.
local scaling_fields = { 'instances', 'workers', 'instancesRegistered', 'instancesResumed', 'instancesUnregistered',
  'instancesFailed', 'leaderElections', 'tasksReassigned' }

-- last_minutes returns the fields of this and the previous minute.
local function last_minutes(hash)
  local minute = math.floor(clock / 60000)
  local names = {}
  for _, slot in ipairs({ minute % 60, (minute - 1) % 60 }) do
    names[#names + 1] = 'completed.' .. int(slot)
    names[#names + 1] = 'failed.' .. int(slot)
  end
  return fields(hash, names)
end

local refused = limit_outside_flush(subject, calls)
if refused then return refused end
local metrics, oldest = prefix .. 'metrics:', int(clock - ttl)
local reply = {
  clock = int(clock),
  global = all_fields(metrics .. 'global'),
  minutes = hour == '1' and all_fields(metrics .. 'minutes') or last_minutes(metrics .. 'minutes'),
  open = redis.call('ZCARD', prefix .. 'queue:open'),
  instances = redis.call('ZCOUNT', prefix .. 'health:alive', oldest, '+inf'),
  pauses = '[' .. table.concat(list_pauses(), ',') .. ']',
}
if detailed == '0' then return cjson.encode(reply) end

reply.workers = redis.call('ZCOUNT', prefix .. 'health:workers', oldest, '+inf')
reply.seq = redis.call('HGET', KEYS[1], 'seq') or '0'
reply.checkpoint = redis.call('GET', prefix .. 'service:checkpoint:metrics') or nil
reply.queues = all_fields(metrics .. 'queues')
reply.scaling = fields(metrics .. 'scaling', scaling_fields)
reply.pending = redis.call('ZCARD', prefix .. 'queue:tasks:pending')
reply.scheduled = redis.call('ZCARD', prefix .. 'queue:scheduled')
reply.blocked = redis.call('ZCARD', prefix .. 'queue:blocked')
for _, queue in ipairs(role_queues()) do
  reply.roles = reply.roles or {}
  reply.roles[queue[1]] = queue[2]
end
reply.orphaned = orphaned()
reply.orphanQueues = redis.call('ZCARD', prefix .. 'queue:orphaned')
reply.failed = recent_failures()
reply.leader = fields(prefix .. 'health:leader', { 'id', 'term', 'until' })
return cjson.encode(reply)
