--- @include "lib/space"
--- @include "lib/extras"
-- Deadlines of claimed tasks: their time limit, and the end of the grace of a cancellation. The queue
-- queue:deadlines holds each such task by the earlier of the two. queue:cancelling:<instance> holds
-- the tasks that an instance is to end, and the field cancels of the instance's hash says whether
-- there are any.

-- watch enters a task (a table of read_task) whose deadlines have changed.
local function watch(t)
  local first = math.min(tonumber(t.timeoutAt or math.huge), tonumber(t.cancelAt or math.huge))
  redis.call('ZADD', prefix .. 'queue:deadlines', int(first), t.id)
end

-- unwatch removes the deadlines of a task that leaves its owner.
local function unwatch(t)
  if not t.timeoutAt and not t.cancelAt then return end
  redis.call('ZREM', prefix .. 'queue:deadlines', t.id)
  redis.call('HDEL', prefix .. 'task:' .. t.id, 'timeoutAt', 'cancelAt')
  if t.cancelAt then
    local list = prefix .. 'queue:cancelling:' .. t.assignedTo
    redis.call('ZREM', list, t.id)
    if redis.call('EXISTS', list) == 0 then redis.call('HDEL', prefix .. 'instance:' .. t.assignedTo, 'cancels') end
  end
  t.timeoutAt, t.cancelAt = false, false
end
