--- @include "lib/log"
-- Nothing is claimed or auto-assigned from a paused queue (lib/pauses). While nothing is paused, the
-- functions read nothing.

local pauses -- the fields of queue:paused as keys of a table, read once in an EVALSHA

-- is_paused reports whether the queue of a role set is paused.
local function is_paused(set)
  if not some_paused then return false end
  if not pauses then
    pauses = {}
    for _, field in ipairs(redis.call('HKEYS', prefix .. 'queue:paused')) do pauses[field] = true end
  end
  return pauses['*'] or pauses[set or ''] or false
end

-- is_held reports whether the queue that a task belongs to is paused.
local function is_held(id)
  return some_paused and is_paused(redis.call('HGET', prefix .. 'task:' .. id, 'roleset'))
end
