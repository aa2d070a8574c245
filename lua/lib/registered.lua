--- @include "lib/space"
-- The roles of registered instances, read once in an EVALSHA. No call that uses this library
-- registers or removes an instance.

local known = {}

-- registered returns an instance's roles as JSON text, or false if it is not registered.
local function registered(id)
  local roles = known[id]
  if roles == nil then
    roles = redis.call('HGET', prefix .. 'instance:' .. id, 'roles')
    known[id] = roles
  end
  return roles
end
