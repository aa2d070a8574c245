--- @include "lib/last_seq"
-- Reads instances, their entries in the indexes and the lengths of their queues, all at the same
-- moment, for claudebench verify, which compares the reply with the log.
--- @readonly
--
-- KEYS[1] log
-- ARGV[1…] ids  of the instances
-- Returns {seq of the last event, a list for each instance}; a missing value is nil. A list has 12
--         fields in the order below; the instance's values in the indexes of live instances, of
--         workers, of roles, of workers with room, and of instances to take tasks from; and the
--         lengths of its assigned, active and auto-assigned queues
-- Errors  none
-- Emits   nothing
local fields = { 'id', 'roles', 'status', 'lastSeen', 'lastHeartbeat', 'registeredAt', 'metadata', 'sessionId', 'maxTasks',
  'worker', 'seq', 'grace' }

local reply = { last_seq() }
for _, id in ipairs(ARGV) do
  local instance = redis.call('HMGET', prefix .. 'instance:' .. id, unpack(fields))
  local n = #fields
  instance[n + 1] = redis.call('ZSCORE', prefix .. 'health:alive', id)
  instance[n + 2] = redis.call('ZSCORE', prefix .. 'health:workers', id)
  instance[n + 3] = redis.call('HGET', prefix .. 'health:roles', id)
  instance[n + 4] = redis.call('ZSCORE', prefix .. 'queue:available', id)
  instance[n + 5] = redis.call('ZSCORE', prefix .. 'queue:stealable', id)
  instance[n + 6] = redis.call('ZCARD', prefix .. 'queue:instance:' .. id)
  instance[n + 7] = redis.call('ZCARD', prefix .. 'queue:active:' .. id)
  instance[n + 8] = redis.call('ZCARD', prefix .. 'queue:auto:' .. id)
  reply[#reply + 1] = instance
end
return reply
