--- @include "lib/space"
--- @include "lib/clock"
--- @include "lib/fence"
-- Notes an instance's health for a day.
--
-- KEYS[1] log
-- ARGV[1] id        of the instance
-- ARGV[2] status    healthy
-- Returns 1
-- Errors  CONFLICT (FLUSH_IN_PROGRESS)
-- Emits   nothing
local id, status = ARGV[1], ARGV[2]

local refused = fenced()
if refused then return refused end
local key = prefix .. 'health:gossip:' .. id
redis.call('HSET', key, 'status', status, 'lastSeen', int(clock))
redis.call('PEXPIRE', key, 86400000)
return 1
