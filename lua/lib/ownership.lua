--- @include "lib/space"
--- @include "lib/json"
-- instance_owner is the token that registered an instance, or false.
local function instance_owner(instance)
  return redis.call('HGET', prefix .. 'health:gossip:' .. instance, 'owner')
end

-- foreign_instance returns an error reply when an instance is not the agent's: where tokens are in
-- use, an agent's token acts for the instances that were registered with it. agent is its name, or
-- '' for a caller who may act for all: then nothing is read.
--
-- An instance's owner is kept with its health, which outlives the registration, as its session is.
local function foreign_instance(agent, instance)
  if agent == '' or instance_owner(instance) == agent then return nil end
  return redis.error_reply('UNAUTHORIZED {"needed":'
    .. quote('the token that registered instance ' .. instance .. ', or the role operator or admin') .. '}')
end

-- foreign_name returns an error reply when the id of a batch or a decision is another token's:
-- owner is the agent's token that began it, '' for a caller who may act for all. Such a caller goes
-- on with an agent's only in the name of an instance of that agent, so that nobody takes what
-- another has begun for his own.
local function foreign_name(what, id, owner, agent, instance)
  if owner == agent or agent == '' and instance_owner(instance) == owner then return nil end
  return redis.error_reply('UNAUTHORIZED {"needed":' .. quote('the token that began the ' .. what .. ' ' .. id .. ', or another id') .. '}')
end
