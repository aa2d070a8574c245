--- @include "lib/space"
-- Reads counters of the metrics projection and the event up to which they count, for claudebench
-- verify.
--- @readonly
--
-- KEYS[1] log
-- ARGV[1…] field  of the hash metrics:global
-- Returns {checkpoint of the projection, identity of its log, {the values of the fields}}; a missing
--         value is nil
-- Errors  none
-- Emits   nothing
local first_field = 1

local hash = prefix .. 'metrics:global'
return {
  redis.call('GET', prefix .. 'service:checkpoint:metrics'),
  redis.call('HGET', hash, 'log'),
  redis.call('HMGET', hash, unpack(ARGV, first_field)),
}
