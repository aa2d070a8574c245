--- @include "lib/dependents"
--- @include "lib/task_state"
--- @include "lib/turns"
--- @include "lib/cancel"
local dependents_left = 50 -- tasks that an EVALSHA may still tell, however many calls share it

-- settle_dependents tells at most most tasks what came of a task that they depend on, the longest
-- ended one first. A task whose dependencies are all completed is unblocked; one that cannot run any
-- more is cancelled. It returns the number of tasks. Emits task.unblocked and task.cancelled.
local function settle_dependents(most, retention)
  local list, settled = prefix .. 'queue:settling', 0
  most = math.min(most, dependents_left)
  while settled < most do
    local entry = redis.call('ZRANGE', list, 0, 0)[1]
    if not entry then break end
    local ended = cjson.decode(entry)
    local queue = prefix .. 'queue:settling:' .. ended.queue
    for _, id in ipairs(redis.call('ZRANGE', queue, 0, most - settled - 1)) do
      local t = read_task_state(id)
      if not t then -- a coordinator of an earlier version deleted it
        redis.call('ZREM', prefix .. 'queue:blocked', id)
      elseif not t.completedAt and tonumber(t.open or 0) > 0 then
        if ended.outcome == 'completed' or option(t, 'onDependencyFailure') == 'run' then
          t.open = t.open - 1
          if t.open == 0 then
            if t.status == 'blocked' then
              unblock(t, 'dependencies', ended.context)
            else -- scheduled, or a coordinator of an earlier version assigned it
              redis.call('ZREM', prefix .. 'queue:blocked', id)
            end
          end
          redis.call('HSET', prefix .. 'task:' .. id, 'open', int(t.open))
        else
          local outcome = ended.outcome == 'failed' and ' failed' or ' was ' .. ended.outcome
          end_cancelled(t, quote(ended.task), quote('dependency ' .. ended.task .. outcome), retention, ended.context)
        end
      end
      redis.call('ZREM', queue, id)
      settled = settled + 1
    end
    if redis.call('EXISTS', queue) == 1 then break end
    redis.call('ZREM', list, entry)
  end
  dependents_left = dependents_left - settled
  return settled
end
