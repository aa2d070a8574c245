--- @include "lib/space"
--- @include "lib/clock"
--- @include "lib/fence"
-- Notes an instance's health for a day.
--
-- KEYS[1] log
-- ARGV[1] id        of the instance
-- ARGV[2] status    healthy
-- Returns 1, or 0 when it is not registered any more
-- Errors  CONFLICT (FLUSH_IN_PROGRESS)
-- Emits   nothing
local id, status = ARGV[1], ARGV[2]

local refused = fenced()
if refused then return refused end
-- It may come late: an instance that has left meanwhile stays offline.
if redis.call('EXISTS', prefix .. 'instance:' .. id) == 0 then return 0 end
local key = prefix .. 'health:gossip:' .. id
redis.call('HSET', key, 'status', status, 'lastSeen', int(clock))
redis.call('PEXPIRE', key, 86400000)
return 1
