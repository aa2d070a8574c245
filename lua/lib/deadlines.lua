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

-- begin_try begins a try of a task that has extras and that was just claimed: its time limit starts,
-- and it has made no progress yet.
local function begin_try(t)
  local key = prefix .. 'task:' .. t.id
  local limit = t.options and cjson.decode(t.options).timeoutMs
  if limit then
    t.timeoutAt = int(clock + limit)
    redis.call('HSET', key, 'timeoutAt', t.timeoutAt)
    watch(t)
  end
  if t.progress then
    redis.call('HDEL', key, 'progress')
    t.progress = false
  end
end
