--- @include "lib/flush"
-- Keeps registrations from expiring behind the fence of a flush, where heartbeats do not renew
-- them, or lets them expire again. One call handles 1,000 instances. The calls go through the index
-- of live instances, which does not change behind the fence.
--
-- KEYS[1] log
-- ARGV[1] id      of the flush
-- ARGV[2] holder  the run that carries out the flush
-- ARGV[3] offset  number of instances that earlier calls have handled
-- ARGV[4] ttl     of registrations without a TTL of their own from now on, ms; 0 to keep all from
--                 expiring
-- Returns 1 if there may be more instances else 0
-- Errors  FLUSH_LOST
-- Emits   nothing
local id, holder, offset, ttl = ARGV[1], ARGV[2], tonumber(ARGV[3]), ARGV[4]

local most = 1000

local refused = lost_flush(id, holder)
if refused then return refused end
local ids = redis.call('ZRANGE', prefix .. 'health:alive', offset, offset + most - 1)
for _, instance in ipairs(ids) do
  local key = prefix .. 'instance:' .. instance
  if ttl == '0' then
    redis.call('PERSIST', key)
  else
    redis.call('PEXPIRE', key, redis.call('HGET', key, 'ttlMs') or ttl)
  end
end
return #ids == most and 1 or 0
