--- @include "lib/space"
-- A projection into Redis can be folded a second time beside its live view. The keys of the second
-- place are those of the live view with `rebuild:` after the namespace's prefix.

local second_place = 'rebuild:'

-- view_hashes returns the names of the hashes that a projection has, in either place.
local function view_hashes(name)
  if name == 'state' then return { 'state:global' } end
  local names = { 'metrics:global', 'metrics:queues', 'metrics:scaling', 'metrics:minutes' }
  local known = {}
  for _, place in ipairs({ '', second_place }) do
    for _, field in ipairs(redis.call('HKEYS', prefix .. place .. 'metrics:global')) do
      if string.sub(field, 1, 7) == 'events.' and not known[field] then
        known[field] = true
        names[#names + 1] = 'metrics:events:' .. string.sub(field, 8)
      end
    end
  end
  return names
end

-- view_position returns the checkpoint of a projection and the identity of its log in a place.
local function view_position(name, place)
  if name == 'state' then
    local held = redis.call('HMGET', prefix .. place .. 'state:global', 'checkpoint', 'log')
    return held[1] or '', held[2]
  end
  return redis.call('GET', prefix .. place .. 'service:checkpoint:metrics') or '', redis.call('HGET', prefix .. place .. 'metrics:global', 'log')
end
