--- @include "lib/last_seq"
-- Reads instances, their places in the indexes and the lengths of their queues at one moment, to be
-- compared with the log.
--- @readonly
--
-- KEYS[1] log
-- ARGV[1…] ids
-- Returns {seq of the last event, for each instance a list of 11 fields, what the indexes of the living,
--         of the workers, of roles, of those with room and of those to take from hold for it, and the
--         lengths of its assigned, active and auto-assigned queues}; what is not there is nil
-- Errors  none
-- Emits   nothing
local fields = { 'id', 'roles', 'status', 'lastSeen', 'lastHeartbeat', 'registeredAt', 'metadata', 'sessionId', 'maxTasks',
  'worker', 'seq' }

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
