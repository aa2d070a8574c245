--- @include "lib/log"
--- @include "lib/guard"
--- @include "lib/json"
--- @include "lib/queue"
--- @include "lib/pauses"
--- @include "lib/paused"
--- @include "lib/wakeups"
-- Ends a pause, and wakes the calls of task.claim that wait.
--
-- KEYS[1] log
-- ARGV[1] context  members of the event's envelope as JSON text: actor, cause, trace
-- ARGV[2] subject  key of the rate limit, method:actor
-- ARGV[3] calls    calls a minute, 0 for no limit; further lines hold other limits (lib/guard)
-- ARGV[4] queue    the paused queue, as in pause_queue; * ends the pause of all queues, and not those
--                  of single ones
-- ARGV[5] actor    who resumes it
-- Returns the method's result: {changed, pauses}
-- Errors  RATE_LIMITED, CONFLICT (FLUSH_IN_PROGRESS)
-- Emits   queue.resumed if there was that pause
local subject, calls, queue, actor = ARGV[2], ARGV[3], ARGV[4], ARGV[5]

local refused = open_log() or limit(subject, calls)
if refused then return refused end
local key = prefix .. 'queue:paused'
local pause = redis.call('HGET', key, queue)

-- wake_queue announces the tasks of a queue that may be claimed again.
local function wake_queue(set)
  if is_paused(set) then return end
  local tasks = redis.call('ZCARD', waiting_queue(set))
  if tasks > 0 then wake('set:' .. set, tasks) end
end

if pause then
  emit('queue.resumed', '{"roles":' .. roles_of(queue) .. ',"by":' .. quote(actor) .. ',"pausedAt":"'
    .. string.match(pause, '"at":"([^"]*)"}$') .. '","resumedAt":"' .. at .. '"}')
  redis.call('HDEL', key, queue)
  if redis.call('EXISTS', key) == 0 then
    redis.call('HDEL', KEYS[1], 'paused')
    some_paused = false
  end
  if not is_paused(queue) then
    -- Tasks that wait. Whoever has assigned ones, or may take those of others, attempts too.
    if queue == '*' then
      wake_queue('')
      for _, set in ipairs(redis.call('HKEYS', prefix .. 'queue:rolesets')) do wake_queue(set) end
    else
      wake_queue(queue)
    end
    wake('all')
  end
end
return '{"changed":' .. tostring(pause and true or false) .. ',"pauses":[' .. table.concat(list_pauses(), ',') .. ']}'
