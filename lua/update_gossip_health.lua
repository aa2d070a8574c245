--- @include "lib/space"
--- @include "lib/clock"
--- @include "lib/fence"
-- Writes an instance's status, which is kept for a day.
--
-- KEYS[1] log
-- ARGV[1] id      of the instance
-- ARGV[2] status  healthy
-- Returns 1, or 0 if the instance is not registered
-- Errors  CONFLICT (FLUSH_IN_PROGRESS)
-- Emits   nothing
local id, status = ARGV[1], ARGV[2]

local refused = fenced()
if refused then return refused end
-- This script may run late. An instance that has left in the meantime must stay offline.
if redis.call('EXISTS', prefix .. 'instance:' .. id) == 0 then return 0 end
local key = prefix .. 'health:gossip:' .. id
redis.call('HSET', key, 'status', status, 'lastSeen', int(clock))
redis.call('PEXPIRE', key, 86400000)
return 1
