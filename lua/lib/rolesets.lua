--- @include "lib/space"
-- How many open tasks ask for each set of roles. A set takes its place when a first task asks for it and
-- keeps it as long as one is open, so that a task can always go back to its queue.

local most_rolesets = 64

-- roleset_refused tells whether a set would be one too many.
local function roleset_refused(set)
  local key = prefix .. 'queue:rolesets'
  return set ~= '' and redis.call('HEXISTS', key, set) == 0 and redis.call('HLEN', key) >= most_rolesets
end

local function hold_roleset(set)
  if set ~= '' then redis.call('HINCRBY', prefix .. 'queue:rolesets', set, 1) end
end

local function release_roleset(set)
  if not set or set == '' then return end
  local key = prefix .. 'queue:rolesets'
  if redis.call('HINCRBY', key, set, -1) <= 0 then redis.call('HDEL', key, set) end
end
