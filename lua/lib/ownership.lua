--- @include "lib/space"
--- @include "lib/json"
-- instance_owner returns the name of the token that registered an instance, or false.
local function instance_owner(instance)
  return redis.call('HGET', prefix .. 'health:gossip:' .. instance, 'owner')
end

-- foreign_instance returns an error reply if an instance is not the agent's. An agent's token acts
-- only for the instances that were registered with it. agent is the name of the token, or '' for a
-- caller that may act for all instances; then nothing is read.
--
-- The owner of an instance is stored with its health, like its session, because the health outlives
-- the registration.
local function foreign_instance(agent, instance)
  if agent == '' or instance_owner(instance) == agent then return nil end
  return redis.error_reply('UNAUTHORIZED {"needed":'
    .. quote('the token that registered instance ' .. instance .. ', or the role operator or admin') .. '}')
end

-- foreign_name returns an error reply if another token began the batch or the decision with this
-- id. owner is the name of the agent's token that began it, or '' for a caller that may act for
-- all. Such a caller continues an agent's batch or decision only in the name of an instance of that
-- agent. Otherwise it could mistake that batch or decision for its own.
local function foreign_name(what, id, owner, agent, instance)
  if owner == agent or agent == '' and instance_owner(instance) == owner then return nil end
  return redis.error_reply('UNAUTHORIZED {"needed":' .. quote('the token that began the ' .. what .. ' ' .. id .. ', or another id') .. '}')
end
