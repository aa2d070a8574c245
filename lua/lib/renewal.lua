--- @include "lib/space"
--- @include "lib/clock"
--- @include "lib/iso"
-- When an instance counts as alive. The indexes of live instances hold, for each instance, the time
-- of its last sign of life plus its grace: by how much its TTL exceeds the one of the coordinators.
-- So one comparison of the index with the coordinators' TTL fits all instances.

-- renew renews an instance's registration. ttl is its TTL in ms, usual the coordinators'; worker is
-- '1' for a worker.
local function renew(id, worker, ttl, usual)
  local key, gossip, seen, grace = prefix .. 'instance:' .. id, prefix .. 'health:gossip:' .. id, int(clock), int(ttl - usual)
  redis.call('HSET', key, 'lastSeen', seen, 'lastHeartbeat', iso(clock), 'renewed', seen, 'ttl', int(ttl), 'grace', grace)
  redis.call('PEXPIRE', key, int(ttl))
  local alive = int(clock + grace)
  redis.call('ZADD', prefix .. 'health:alive', alive, id)
  if worker == '1' then redis.call('ZADD', prefix .. 'health:workers', alive, id) end
  redis.call('HSET', gossip, 'status', 'healthy', 'lastSeen', seen, 'grace', grace)
  redis.call('PEXPIRE', gossip, 86400000)
end
