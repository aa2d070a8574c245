--- @include "lib/log"
--- @include "lib/json"
--- @include "lib/iso"
--- @include "lib/turns"
-- Scheduled tasks. The queue queue:scheduled holds them by their time. The field due of the log's
-- hash has the earliest time, so a claim need not look at the queue before that. Only the clock of
-- Redis decides what is due.

-- The actor of what time alone brings about.
local coordinator_context = '"actor":"coordinator","cause":null,"trace":null'

-- schedule adds a task to the queue.
local function schedule(id, run_at)
  redis.call('ZADD', prefix .. 'queue:scheduled', run_at, id)
  if not due or tonumber(run_at) < tonumber(due) then
    due = run_at
    redis.call('HSET', KEYS[1], 'due', run_at)
  end
end

local due_left = 100 -- tasks that an EVALSHA may still move, however many calls share it

-- release_due moves tasks whose time has come to their queues, the earliest first and a bounded number
-- of them, and returns that number. Emits task.due for each.
local function release_due()
  local queue = prefix .. 'queue:scheduled'
  local ids = redis.call('ZRANGEBYSCORE', queue, '-inf', int(clock), 'LIMIT', 0, due_left)
  due_left = due_left - #ids
  for _, id in ipairs(ids) do
    local key = prefix .. 'task:' .. id
    local stored = redis.call('HMGET', key, 'priority', 'roleset', 'runAt', 'options', 'open', 'status')
    -- A coordinator of an earlier version may have deleted or assigned the task without this queue.
    if stored[6] == 'scheduled' then
      local t = { id = id, priority = stored[1], roleset = stored[2], options = stored[4], open = stored[5] }
      local status = ready_status(t)
      local n = emit('task.due', '{"id":"' .. id .. '","status":"' .. status .. '","previousStatus":"scheduled","runAt":"'
        .. iso(tonumber(stored[3])) .. '"}', coordinator_context)
      redis.call('HSET', key, 'status', status, 'queuedAt', now_text, 'updatedAt', at, 'seq', n)
      enter(t, status)
    end
  end
  if ids[1] then redis.call('ZREM', queue, unpack(ids)) end
  local first = redis.call('ZRANGE', queue, 0, 0, 'WITHSCORES')
  local earliest = first[2] and int(first[2]) or false
  if earliest ~= due then
    if earliest then redis.call('HSET', KEYS[1], 'due', earliest) else redis.call('HDEL', KEYS[1], 'due') end
    due = earliest
  end
  return #ids
end
