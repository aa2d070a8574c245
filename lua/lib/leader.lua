--- @include "lib/log"
--- @include "lib/json"
--- @include "lib/lease"
-- The change of the leader.

-- elect makes an instance the leader and returns the new term. Emits leader.elected.
local function elect(id, previous, ttl)
  local term = int((redis.call('HGET', KEYS[1], 'term') or 0) + 1)
  emit('leader.elected', '{"id":' .. quote(id) .. ',"term":' .. term .. ',"previous":' .. quoted(previous) .. '}')
  redis.call('HSET', KEYS[1], 'term', term)
  hold_lease(id, term, ttl)
  return term
end

-- resign frees the lease if the instance holds it.
local function resign(id)
  local key = prefix .. 'health:leader'
  if redis.call('HGET', key, 'id') == id then redis.call('HSET', key, 'until', '0') end
end
