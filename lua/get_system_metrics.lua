--- @include "lib/pass"
--- @include "lib/failures"
--- @include "lib/depths"
-- Reads what the metrics projection has counted, and how long the queues are now. The number of
-- instances does not matter to it, nor that of tasks. It answers during a flush as well. Nothing but the
-- rate limit's counters changes.
--- @readonly
--
-- KEYS[1] log
-- ARGV[1] context   inside of the envelope, not used
-- ARGV[2] subject   method:actor of the rate limit
-- ARGV[3] calls     a minute and actor, 0 for no limit
-- ARGV[4] ttl       of registrations, ms
-- ARGV[5] detailed  1 for all of it, 0 for the first four values
-- Returns {the clock in ms, field and value of the counters of all events and tasks in turn, open tasks, live
--         instances, live workers, seq of the log's last event, the projection's checkpoint, field and value
--         of the queues' counters, of the instances' counters, tasks in the pending queue, set of roles and
--         tasks in its queue in turn, tasks in the oldest 100 orphans' queues, orphans' queues, instances that
--         failed lately, {the leader's id, term, end of the lease in ms}}
-- Errors  RATE_LIMITED
-- Emits   nothing
local subject, calls, ttl, detailed = ARGV[2], ARGV[3], tonumber(ARGV[4]), ARGV[5]

-- Beside these there are four for each instance, too many to read.
local scaling_fields = { 'instances', 'workers', 'instancesRegistered', 'instancesResumed', 'instancesUnregistered',
  'instancesFailed', 'leaderElections', 'tasksReassigned' }

local refused = pass(subject, calls)
if refused then return refused end
local metrics, oldest = prefix .. 'metrics:', int(clock - ttl)
local reply = {
  int(clock),
  redis.call('HGETALL', metrics .. 'global'),
  redis.call('ZCARD', prefix .. 'queue:open'),
  redis.call('ZCOUNT', prefix .. 'health:alive', oldest, '+inf'),
}
if detailed == '0' then return reply end

local scaling = {}
local counted = redis.call('HMGET', metrics .. 'scaling', unpack(scaling_fields))
for i, field in ipairs(scaling_fields) do
  scaling[2 * i - 1] = field
  scaling[2 * i] = counted[i] or '0'
end
local roles = {}
for _, queue in ipairs(role_queues()) do
  roles[#roles + 1] = queue[1]
  roles[#roles + 1] = queue[2]
end
for _, value in ipairs({
  redis.call('ZCOUNT', prefix .. 'health:workers', oldest, '+inf'),
  redis.call('HGET', KEYS[1], 'seq') or '0',
  redis.call('GET', prefix .. 'service:checkpoint:metrics') or '',
  redis.call('HGETALL', metrics .. 'queues'),
  scaling,
  redis.call('ZCARD', prefix .. 'queue:tasks:pending'),
  roles,
  orphaned(),
  redis.call('ZCARD', prefix .. 'queue:orphaned'),
  recent_failures(),
  redis.call('HMGET', prefix .. 'health:leader', 'id', 'term', 'until'),
}) do
  reply[#reply + 1] = value
end
return reply
