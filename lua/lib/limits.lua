--- @include "lib/log"
--- @include "lib/task_state"
--- @include "lib/turns"
--- @include "lib/withdraw"
--- @include "lib/unassign"
--- @include "lib/settle"
-- Limits that were changed. queue:relimits holds their keys. The score says how far a step got from the
-- worst task of queue:limited on: its position there, or infinity at the beginning.

-- block makes a pending task wait for its turn. Emits task.blocked, and task.unassigned before it if
-- the task was assigned to an instance that has not claimed it.
local function block(t, key)
  if t.assignedTo then
    local owner = t.assignedTo
    unassign(t, 'limited')
    withdraw(owner, t.id)
    settle_later(owner)
  end
  local n = emit('task.blocked', '{"id":"' .. t.id .. '","status":"blocked","previousStatus":"pending","limitKey":' .. quote(key) .. '}')
  redis.call('HSET', prefix .. 'task:' .. t.id, 'status', 'blocked', 'updatedAt', at, 'seq', n)
  redis.call('ZREM', waiting_queue(t.roleset), t.id)
  redis.call('ZREM', prefix .. 'queue:limited:' .. key, t.id)
  enter(t, 'blocked')
end

-- apply_limits brings the tasks of changed limits into line with them, and returns how many tasks it
-- has changed or looked at, at most most. Emits task.unblocked, task.blocked and task.unassigned.
local function apply_limits(most)
  local list, done = prefix .. 'queue:relimits', 0
  while done < most do
    local entry = redis.call('ZRANGE', list, 0, 0, 'WITHSCORES')
    if not entry[1] then break end
    local key, reached = entry[1], entry[2]
    local limited = prefix .. 'queue:limited:' .. key
    done = done + take_turns(key, most - done)
    local limit = tonumber(redis.call('HGET', prefix .. 'queue:limits', key) or math.huge)
    while done < most and redis.call('ZCARD', limited) > limit do
      local worst = redis.call('ZREVRANGEBYSCORE', limited, '(' .. reached, '-inf', 'WITHSCORES', 'LIMIT', 0, 1)
      if not worst[1] then break end
      local t = read_task_state(worst[1])
      if not t or t.completedAt then -- a coordinator of an earlier version ended it
        redis.call('ZREM', limited, worst[1])
      elseif t.status == 'pending' then -- others keep their place: somebody works on them
        block(t, key)
      end
      reached = worst[2]
      done = done + 1
    end
    if done >= most then
      redis.call('ZADD', list, reached, key)
      break
    end
    redis.call('ZREM', list, key)
  end
  return done
end
