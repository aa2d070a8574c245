--- @include "lib/space"
--- @include "lib/clock"
--- @include "lib/iso"
-- renew renews an instance's registration for its TTL in ms. worker is '1' for a worker.
local function renew(id, worker, ttl)
  local key, gossip, seen = prefix .. 'instance:' .. id, prefix .. 'health:gossip:' .. id, int(clock)
  redis.call('HSET', key, 'lastSeen', seen, 'lastHeartbeat', iso(clock), 'ttl', ttl)
  redis.call('PEXPIRE', key, ttl)
  redis.call('ZADD', prefix .. 'health:alive', seen, id)
  if worker == '1' then redis.call('ZADD', prefix .. 'health:workers', seen, id) end
  redis.call('HSET', gossip, 'status', 'healthy', 'lastSeen', seen)
  redis.call('PEXPIRE', gossip, 86400000)
end
