--- @include "lib/ownership"
-- foreign_task returns an error reply if a task (a table of read_task) is not the agent's. A task
-- is the agent's if the agent's token created it, or if one of the agent's instances has it. agent
-- is as in foreign_instance.
local function foreign_task(agent, t)
  if agent == '' or redis.call('HGET', prefix .. 'task:' .. t.id, 'creator') == agent then return nil end
  if t.assignedTo and not foreign_instance(agent, t.assignedTo) then return nil end
  return redis.error_reply('UNAUTHORIZED {"needed":"the token that created task ' .. t.id
    .. ' or that registered the instance which has it, or the role operator or admin"}')
end
