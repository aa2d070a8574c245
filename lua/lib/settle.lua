--- @include "lib/log"
--- @include "lib/queue_writes"
-- settle updates what is derived from an instance's queues: its status, and whether it has room for
-- another task. n is the seq of the event that changed the queues; the default is the last event.
-- For an instance that is not registered it does nothing.
local function settle(id, n)
  write_queues()
  local key = prefix .. 'instance:' .. id
  local instance = redis.call('HMGET', key, 'maxTasks', 'worker', 'status')
  if not instance[1] then return end
  local active = redis.call('ZCARD', prefix .. 'queue:active:' .. id)
  if instance[2] == '1' then
    local held = active + redis.call('ZCARD', prefix .. 'queue:instance:' .. id)
    if held < tonumber(instance[1]) then
      redis.call('ZADD', prefix .. 'queue:available', held, id)
    else
      redis.call('ZREM', prefix .. 'queue:available', id)
    end
  else
    redis.call('ZREM', prefix .. 'queue:available', id)
  end
  local status = active > 0 and 'BUSY' or 'IDLE'
  if status ~= instance[3] then redis.call('HSET', key, 'status', status, 'seq', n or int(seq)) end
end

-- settle_later settles an instance, as of the last event, after all calls that share the EVALSHA.
local unsettled = {}
local function settle_later(id)
  unsettled[id] = int(seq)
end

--- @closing settle_all
local function settle_all()
  for id, n in pairs(unsettled) do settle(id, n) end
end
