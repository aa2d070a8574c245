--- @include "lib/log"
--- @include "lib/registered"
--- @include "lib/wakeups"
-- Keeps calls of task.claim waiting: other scripts go on to write wake-ups, and the workers of the
-- calls stay registered. Behind the fence of a flush it renews nothing and returns no workers.
--
-- KEYS[1] log
-- ARGV[1] hold      how long other scripts go on to write wake-ups, ms
-- ARGV[2] roles     of the waiting workers, as lines of JSON text, or * for any; '' for a further call
-- ARGV[3…] workers  ids of instances
-- Returns {1 if other scripts may have written no wake-ups since the last call else 0, ID of the
--         last wake-up or '0-0', seq of the log's last event, for each worker: its roles as JSON
--         text or '' if it is not registered, number of tasks assigned to it, TTL of its
--         registration in ms}
-- Errors  none
-- Emits   nothing
local hold, roles = tonumber(ARGV[1]), ARGV[2]

local last = redis.call('XREVRANGE', prefix .. 'queue:wakeups', '+', '-', 'COUNT', 1)[1]
last = last and last[1] or '0-0'
if not log_opened() then return { 0, last, 0 } end
local left = tonumber(waiting or 0) - clock
if left < hold / 2 then redis.call('HSET', KEYS[1], 'waiting', int(clock + hold)) end
local missed = left < 0
if roles ~= '' then
  local stored = redis.call('HGETALL', prefix .. 'queue:waiting')
  for i = 1, #stored, 2 do
    if tonumber(stored[i + 1]) < clock then redis.call('HDEL', prefix .. 'queue:waiting', stored[i]) end
  end
  for some in string.gmatch(roles, '[^\n]+') do
    if not await_tasks(some, hold) then missed = true end
  end
end
local reply = { missed and 1 or 0, last, seq }
for i = 3, #ARGV do
  local id = ARGV[i]
  local has = registered(id)
  if has then sign_of_life(id) end
  reply[#reply + 1] = has or ''
  reply[#reply + 1] = has and redis.call('ZCARD', prefix .. 'queue:instance:' .. id) or 0
  reply[#reply + 1] = has and tonumber(registration(id)[4] or fleet_ttl or 0) or 0
end
return reply
