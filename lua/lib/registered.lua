--- @include "lib/space"
-- The roles of registered instances, read once for the commands of a lot: none of them registers or
-- lets go an instance.

local known = {}

-- registered returns an instance's roles as JSON text, or false when it is not registered.
local function registered(id)
  local roles = known[id]
  if roles == nil then
    roles = redis.call('HGET', prefix .. 'instance:' .. id, 'roles')
    known[id] = roles
  end
  return roles
end
