--- @include "lib/space"
-- The pauses of queues. The hash queue:paused holds them. A field is the role set of the paused
-- queue, '' for the queue of tasks without roles, or * for all queues. Its value is JSON: {reason,
-- by, at}. The field paused of the log's hash is set while there is any pause.

-- roles_of returns the roles of a field as JSON text.
local function roles_of(field)
  if field == '*' then return 'null' end
  return field == '' and '[]' or field
end

-- list_pauses returns all pauses as JSON texts, sorted.
local function list_pauses()
  local stored, list = redis.call('HGETALL', prefix .. 'queue:paused'), {}
  for i = 1, #stored, 2 do list[#list + 1] = '{"roles":' .. roles_of(stored[i]) .. ',' .. string.sub(stored[i + 1], 2) end
  table.sort(list)
  return list
end
