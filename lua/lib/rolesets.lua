--- @include "lib/space"
-- How many open tasks ask for each set of roles. A set takes its place when a first task asks for it and
-- keeps it as long as one is open, so that a task can always go back to its queue.

local most_rolesets = 64

-- roleset_refused tells whether a set would be one too many, in place of another one (or none) that the
-- task asked for until now.
local function roleset_refused(set, before)
  local key = prefix .. 'queue:rolesets'
  if set == '' or redis.call('HEXISTS', key, set) == 1 then return false end
  local sets = redis.call('HLEN', key)
  if before and before ~= '' and redis.call('HGET', key, before) == '1' then sets = sets - 1 end
  return sets >= most_rolesets
end

local function hold_roleset(set)
  if set ~= '' then redis.call('HINCRBY', prefix .. 'queue:rolesets', set, 1) end
end

local function release_roleset(set)
  if not set or set == '' then return end
  local key = prefix .. 'queue:rolesets'
  if redis.call('HINCRBY', key, set, -1) <= 0 then redis.call('HDEL', key, set) end
end
