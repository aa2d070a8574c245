--- @include "lib/space"
--- @include "lib/clock"
-- The leader's lease. It lasts for the coordinators' TTL, also if the
-- leader has a longer one. The term never decreases; the log's
-- hash keeps it.

-- lease returns the state of the lease from the view of an instance: 'own' and the term, 'free' and
-- the last leader (or false), or 'other'.
local function lease(id)
  local held = redis.call('HMGET', prefix .. 'health:leader', 'id', 'term', 'until')
  if not held[1] or tonumber(held[3]) < clock then return 'free', held[1] end
  if held[1] == id then return 'own', held[2] end
  return 'other'
end

-- hold_lease grants or renews the lease.
local function hold_lease(id, term, ttl)
  redis.call('HSET', prefix .. 'health:leader', 'id', id, 'term', term, 'until', int(clock + ttl))
end
