--- @include "lib/space"
--- @include "lib/conflict"
-- queue:rolesets holds the number of open tasks that require each role set. A role set exists from
-- its first open task to its last one, so a task can always return to its queue. A namespace has at
-- most most_rolesets. One agent's token may introduce at most half of them, so queue:rolesetowners
-- stores the name of the agent's token that introduced a role set.

local most_rolesets = 64
local most_rolesets_of_agent = 32

local function roleset_exists(set)
  return redis.call('HEXISTS', prefix .. 'queue:rolesets', set) == 1
end

-- refuse_rolesets returns an error reply if a call adds too many role sets. new is the number of
-- role sets that it adds. freed is a role set that ends in the same step, or nil. agent is the name
-- of an agent's token, or ''.
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

-- refuse_roleset is refuse_rolesets for one role set, which may exist already. before is the role
-- set that it replaces in the task, or nil or '' for none.
local function refuse_roleset(set, before, agent)
  if set == '' or roleset_exists(set) then return nil end
  local freed = before and before ~= '' and redis.call('HGET', prefix .. 'queue:rolesets', before) == '1' and before
  return refuse_rolesets(1, freed, agent)
end

-- hold_roleset counts an open task that requires a role set. agent is as in refuse_rolesets.
local function hold_roleset(set, agent)
  if set == '' then return end
  if redis.call('HINCRBY', prefix .. 'queue:rolesets', set, 1) == 1 and agent ~= '' then
    redis.call('HSET', prefix .. 'queue:rolesetowners', set, agent)
  end
end

-- release_roleset subtracts an open task and deletes the role set after its last one.
local function release_roleset(set)
  if not set or set == '' then return end
  if redis.call('HINCRBY', prefix .. 'queue:rolesets', set, -1) <= 0 then
    redis.call('HDEL', prefix .. 'queue:rolesets', set)
    redis.call('HDEL', prefix .. 'queue:rolesetowners', set)
  end
end
