--- @include "lib/flush"
-- Lets no registration run out behind the fence, where heartbeats renew nothing, or lets them run
-- again, 1,000 a call: the index of the living does not change behind the fence.
--
-- KEYS[1] log
-- ARGV[1] id       of the flush
-- ARGV[2] holder   the run that carries it out
-- ARGV[3] offset   how many were looked at before
-- ARGV[4] ttl      of registrations from now on, ms; 0 for ever
-- Returns 1 when there may be more to look at, else 0
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
    redis.call('PEXPIRE', key, ttl)
  end
end
return #ids == most and 1 or 0
