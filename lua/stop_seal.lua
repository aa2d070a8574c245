--- @include "lib/seal"
-- Notes that sealing has stopped for good, so that every coordinator shows it, also after a restart.
--
-- KEYS[1] log
-- ARGV[1] verifier  the public key of the tree
-- ARGV[2] why       it stopped
-- Returns 1, or 0 if the record is of another tree
-- Errors  none
-- Emits   nothing
local verifier, why = ARGV[1], ARGV[2]

if redis.call('HGET', seal, 'verifier') ~= verifier then return 0 end
if redis.call('HSETNX', seal, 'stopped', why) == 1 then
  redis.call('HSET', seal, 'stoppedAt', int(clock))
end
return 1
