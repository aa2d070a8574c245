--- @include "lib/space"
-- How many tasks wait where the number of queues is not fixed. Both look at a bounded number of
-- them.

local most_orphans = 100

-- role_queues lists the sets of roles that open tasks ask for, at most 64, each as {set, tasks in
-- its queue}.
local function role_queues()
  local queues = {}
  for _, set in ipairs(redis.call('HKEYS', prefix .. 'queue:rolesets')) do
    queues[#queues + 1] = { set, redis.call('ZCARD', prefix .. 'queue:roles:' .. set) }
  end
  return queues
end

-- orphaned counts the tasks in the oldest orphans' queues.
local function orphaned()
  local tasks = 0
  for _, entry in ipairs(redis.call('ZRANGE', prefix .. 'queue:orphaned', 0, most_orphans - 1)) do
    tasks = tasks + redis.call('ZCARD', prefix .. 'queue:orphans:' .. cjson.decode(entry).queue)
  end
  return tasks
end
