--- @include "lib/log"
--- @include "lib/queue"
--- @include "lib/queue_writes"
--- @include "lib/wakeups"
--- @include "lib/extras"
-- Where a task without an owner waits: blocked, or in the queue for workers.
--
-- Tasks with the same limitKey take turns if an operator has set a limit, which queue:limits holds.
-- queue:limited:<key> holds the tasks of a key that are pending or in progress, queue:turns:<key>
-- those that are blocked until one of them ends, the best first. A task without a limit set for its
-- key is in queue:limited too, so that a limit that is set later counts it.

-- has_turn reports whether another task of a key may be pending or in progress.
local function has_turn(key)
  local most = redis.call('HGET', prefix .. 'queue:limits', key)
  return not most or redis.call('ZCARD', prefix .. 'queue:limited:' .. key) < tonumber(most)
end

-- ready_status returns the status of a task that waits for no time: blocked or pending.
local function ready_status(t)
  if tonumber(t.open or 0) > 0 then return 'blocked' end
  local key = option(t, 'limitKey')
  return key and not has_turn(key) and 'blocked' or 'pending'
end

-- enter puts a task that has just become blocked or pending into its queue.
local function enter(t, status)
  local position = score(t.priority, t.id)
  local key = option(t, 'limitKey')
  if status == 'blocked' then
    redis.call('ZADD', prefix .. 'queue:blocked', position, t.id)
    if key and tonumber(t.open or 0) == 0 then redis.call('ZADD', prefix .. 'queue:turns:' .. key, position, t.id) end
    return
  end
  if key then redis.call('ZADD', prefix .. 'queue:limited:' .. key, position, t.id) end
  enqueue(waiting_queue(t.roleset), position, t.id)
  wake_workers(t.roleset)
end

-- unblock ends the blocking of a task (a table of read_task) whose dependencies are completed
-- ('dependencies') or whose turn has come ('limit'). Emits task.unblocked.
local function unblock(t, reason, context)
  local status = reason == 'limit' and 'pending' or ready_status(t)
  local n = emit('task.unblocked', '{"id":"' .. t.id .. '","status":"' .. status .. '","previousStatus":"blocked","reason":"' .. reason .. '"}',
    context)
  redis.call('HSET', prefix .. 'task:' .. t.id, 'status', status, 'queuedAt', now_text, 'updatedAt', at, 'seq', n)
  if status == 'pending' then redis.call('ZREM', prefix .. 'queue:blocked', t.id) end
  enter(t, status)
  t.status = status
end

-- take_turns unblocks the best tasks of a key while the limit allows it, at most most, and returns how
-- many.
local function take_turns(key, most, context)
  local turns, taken = prefix .. 'queue:turns:' .. key, 0
  while taken < most and has_turn(key) do
    local id = redis.call('ZRANGE', turns, 0, 0)[1]
    if not id then break end
    local t = redis.call('HMGET', prefix .. 'task:' .. id, 'priority', 'roleset', 'options', 'status')
    if t[4] == 'blocked' then
      unblock({ id = id, priority = t[1], roleset = t[2], options = t[3] }, 'limit', context)
    else -- A coordinator of an earlier version deleted or assigned the task. Its turn is the next one's.
      redis.call('ZREM', prefix .. 'queue:blocked', id)
      redis.call('ZADD', prefix .. 'queue:relimits', 'inf', key)
    end
    redis.call('ZREM', turns, id)
    taken = taken + 1
  end
  return taken
end

-- reconsider makes the limit of a task apply to it again, because nobody works on it any more.
local function reconsider(t)
  local key = option(t, 'limitKey')
  if key and redis.call('HEXISTS', prefix .. 'queue:limits', key) == 1 then redis.call('ZADD', prefix .. 'queue:relimits', 'inf', key) end
end

-- leave_limit removes a task from its key's tasks, so that another one has its turn.
local function leave_limit(t, context)
  local key = option(t, 'limitKey')
  if not key then return end
  redis.call('ZREM', prefix .. 'queue:turns:' .. key, t.id)
  if redis.call('ZREM', prefix .. 'queue:limited:' .. key, t.id) == 1 then take_turns(key, 1, context) end
end
