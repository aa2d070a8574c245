--- @include "lib/log"
--- @include "lib/task_state"
--- @include "lib/turns"
--- @include "lib/withdraw"
--- @include "lib/unassign"
--- @include "lib/settle"
-- Limits that were changed. queue:relimits holds their keys, with the number of tasks from the worst
-- that are known to keep their turn because somebody works on them.

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
    local key, kept = entry[1], tonumber(entry[2])
    local limited = prefix .. 'queue:limited:' .. key
    done = done + take_turns(key, most - done)
    local limit = tonumber(redis.call('HGET', prefix .. 'queue:limits', key) or math.huge)
    while done < most and redis.call('ZCARD', limited) > limit do
      local id = redis.call('ZREVRANGE', limited, kept, kept)[1]
      if not id then break end
      local t = read_task_state(id)
      if t and t.status == 'pending' then block(t, key) else kept = kept + 1 end
      done = done + 1
    end
    if done >= most then
      redis.call('ZADD', list, kept, key)
      break
    end
    redis.call('ZREM', list, key)
  end
  return done
end
