--- @include "lib/limit_outside_flush"
--- @include "lib/failures"
--- @include "lib/depths"
--- @include "lib/fields"
-- Reads what the metrics projection has counted, and how long the queues are now. The number of
-- instances does not matter to it, nor that of tasks. It answers during a flush as well. Nothing
-- but the rate limit's counters changes.
--- @readonly
--
-- KEYS[1] log
-- ARGV[1] context   inside of the envelope, not used
-- ARGV[2] subject   method:actor of the rate limit
-- ARGV[3] calls     a minute and actor, 0 for no limit
-- ARGV[4] ttl       of registrations, ms
-- ARGV[5] detailed  1 for all of it, 0 for the first four members
-- Returns JSON: {clock: ms as a string, global: the counters of all events and tasks, open: tasks, instances: live, workers:
--         live, seq: of the log's last event, checkpoint: the projection's, queues and scaling: their counters, pending:
--         tasks in the pending queue, roles: {set of roles: tasks in its queue}, orphaned: tasks in the oldest 100
--         orphans' queues, orphanQueues, failed: instances that failed lately, leader: {id, term, until}}; counters
--         are strings, and what is not there is left out
-- Errors  RATE_LIMITED
-- Emits   nothing
local subject, calls, ttl, detailed = ARGV[2], ARGV[3], tonumber(ARGV[4]), ARGV[5]

-- Beside these there are four for each instance, too many to read.
local scaling_fields = { 'instances', 'workers', 'instancesRegistered', 'instancesResumed', 'instancesUnregistered',
  'instancesFailed', 'leaderElections', 'tasksReassigned' }

local refused = limit_outside_flush(subject, calls)
if refused then return refused end
local metrics, oldest = prefix .. 'metrics:', int(clock - ttl)
local reply = {
  clock = int(clock),
  global = all_fields(metrics .. 'global'),
  open = redis.call('ZCARD', prefix .. 'queue:open'),
  instances = redis.call('ZCOUNT', prefix .. 'health:alive', oldest, '+inf'),
}
if detailed == '0' then return cjson.encode(reply) end

reply.workers = redis.call('ZCOUNT', prefix .. 'health:workers', oldest, '+inf')
reply.seq = redis.call('HGET', KEYS[1], 'seq') or '0'
reply.checkpoint = redis.call('GET', prefix .. 'service:checkpoint:metrics') or nil
reply.queues = all_fields(metrics .. 'queues')
reply.scaling = fields(metrics .. 'scaling', scaling_fields)
reply.pending = redis.call('ZCARD', prefix .. 'queue:tasks:pending')
for _, queue in ipairs(role_queues()) do
  reply.roles = reply.roles or {}
  reply.roles[queue[1]] = queue[2]
end
reply.orphaned = orphaned()
reply.orphanQueues = redis.call('ZCARD', prefix .. 'queue:orphaned')
reply.failed = recent_failures()
reply.leader = fields(prefix .. 'health:leader', { 'id', 'term', 'until' })
return cjson.encode(reply)
