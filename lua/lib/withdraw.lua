--- @include "lib/space"
-- withdraw removes a task from the queue of an instance's assigned tasks, and from the part of that
-- queue that other workers may steal.
local function withdraw(instance, id)
  redis.call('ZREM', prefix .. 'queue:instance:' .. instance, id)
  local auto = prefix .. 'queue:auto:' .. instance
  if redis.call('ZREM', auto, id) == 1 then
    local left = redis.call('ZCARD', auto)
    if left > 0 then
      redis.call('ZADD', prefix .. 'queue:stealable', left, instance)
    else
      redis.call('ZREM', prefix .. 'queue:stealable', instance)
    end
  end
end
