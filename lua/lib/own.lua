--- @include "lib/space"
--- @include "lib/json"
-- foreign_instance returns an error reply when an instance is not the agent's: where tokens are in use, an
-- agent's token acts for the instances that were registered with it. agent is its name, or '' for a caller
-- who may act for all: then nothing is read.
--
-- An instance's owner is kept with its health, which outlives the registration, as its session is.
local function foreign_instance(agent, instance)
  if agent == '' or redis.call('HGET', prefix .. 'health:gossip:' .. instance, 'owner') == agent then return nil end
  return redis.error_reply('UNAUTHORIZED {"needed":'
    .. quote('the token that registered instance ' .. instance .. ', or the role operator or admin') .. '}')
end
