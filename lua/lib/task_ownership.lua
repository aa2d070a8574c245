--- @include "lib/ownership"
-- foreign_task returns an error reply when a task (a table of read_task) is not the agent's: the
-- one that created it, or one that its instances have.
local function foreign_task(agent, t)
  if agent == '' or redis.call('HGET', prefix .. 'task:' .. t.id, 'creator') == agent then return nil end
  if t.assignedTo and not foreign_instance(agent, t.assignedTo) then return nil end
  return redis.error_reply('UNAUTHORIZED {"needed":"the token that created task ' .. t.id
    .. ' or that registered the instance which has it, or the role operator or admin"}')
end
