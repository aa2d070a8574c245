--- @include "lib/verification"
-- Ends a verification and keeps its result.
--
-- KEYS[1] log
-- ARGV[1] id      of the verification
-- ARGV[2] result  JSON object, without who ran it and when
-- Returns 1, or 0 if another verification has taken its place
-- Errors  none
-- Emits   nothing
local id, result = ARGV[1], ARGV[2]

if verification_lost(id) then return 0 end
local run = redis.call('HMGET', verification, 'startedAt', 'startedBy', 'coordinator')
redis.call('HSET', verification, 'last', result, 'lastAt', int(clock), 'lastStartedAt', run[1], 'lastStartedBy', run[2],
  'lastCoordinator', run[3])
redis.call('HDEL', verification, 'id', 'startedAt', 'until', 'startedBy', 'coordinator', 'doing', 'events', 'total')
return 1
