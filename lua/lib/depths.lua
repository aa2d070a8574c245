--- @include "lib/space"
-- Counts tasks where the number of queues is not fixed. Both functions read a bounded number of
-- queues.

local most_orphans = 100

-- role_queues returns the role sets that open tasks require, at most 64, each as {role set, number
-- of tasks in its queue}.
local function role_queues()
  local queues = {}
  for _, set in ipairs(redis.call('HKEYS', prefix .. 'queue:rolesets')) do
    queues[#queues + 1] = { set, redis.call('ZCARD', prefix .. 'queue:roles:' .. set) }
  end
  return queues
end

-- orphaned counts the tasks in the oldest orphan queues, at most most_orphans of them.
local function orphaned()
  local tasks = 0
  for _, entry in ipairs(redis.call('ZRANGE', prefix .. 'queue:orphaned', 0, most_orphans - 1)) do
    tasks = tasks + redis.call('ZCARD', prefix .. 'queue:orphans:' .. cjson.decode(entry).queue)
  end
  return tasks
end
