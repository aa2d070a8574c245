--- @include "lib/space"
--- @include "lib/conflict"
-- How many open tasks ask for each set of roles. A set takes its place when a first task asks for
-- it and keeps it as long as one is open, so that a task can always go back to its queue. All share
-- the places, so a set that an agent's token brought is noted with the token's name, and one token
-- may bring half of them at most.

local most_rolesets = 64
local most_rolesets_of_agent = 32

local function roleset_exists(set)
  return redis.call('HEXISTS', prefix .. 'queue:rolesets', set) == 1
end

-- refuse_rolesets returns an error reply when some new sets would be too many. freed is a set that
-- gives its place up in the same step, or nil. agent is the name of an agent's token, or ''.
local function refuse_rolesets(new, freed, agent)
  if new == 0 then return nil end
  if redis.call('HLEN', prefix .. 'queue:rolesets') + new - (freed and 1 or 0) > most_rolesets then
    return conflict('TOO_MANY_ROLE_SETS', '"limit":' .. most_rolesets)
  end
  if agent == '' then return nil end
  local owners = redis.call('HGETALL', prefix .. 'queue:rolesetowners')
  for i = 1, #owners, 2 do
    if owners[i + 1] == agent and owners[i] ~= freed then new = new + 1 end
  end
  if new > most_rolesets_of_agent then
    return conflict('TOO_MANY_ROLE_SETS', '"limit":' .. most_rolesets_of_agent .. ',"scope":"token"')
  end
end

-- refuse_roleset is refuse_rolesets for one set, which may exist, in place of the one (or none)
-- that the task asked for.
local function refuse_roleset(set, before, agent)
  if set == '' or roleset_exists(set) then return nil end
  local freed = before and before ~= '' and redis.call('HGET', prefix .. 'queue:rolesets', before) == '1' and before
  return refuse_rolesets(1, freed, agent)
end

local function hold_roleset(set, agent)
  if set == '' then return end
  if redis.call('HINCRBY', prefix .. 'queue:rolesets', set, 1) == 1 and agent ~= '' then
    redis.call('HSET', prefix .. 'queue:rolesetowners', set, agent)
  end
end

local function release_roleset(set)
  if not set or set == '' then return end
  if redis.call('HINCRBY', prefix .. 'queue:rolesets', set, -1) <= 0 then
    redis.call('HDEL', prefix .. 'queue:rolesets', set)
    redis.call('HDEL', prefix .. 'queue:rolesetowners', set)
  end
end
