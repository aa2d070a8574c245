--- @include "lib/guard"
--- @include "lib/fence"
--- @include "lib/task"
--- @include "lib/pauses"
-- Reads a snapshot of the system: open tasks, live instances and the latest events. The script
-- writes nothing but the rate limit's counters.
--- @readonly
--
-- KEYS[1] log
-- ARGV[1] context  not used
-- ARGV[2] subject  key of the rate limit, method:actor
-- ARGV[3] calls    calls a minute, 0 for no limit; further lines hold other limits (lib/guard)
-- ARGV[4] ttl      of registrations, ms
-- ARGV[5] most     maximum number of entries of each list
-- ARGV[6] room     maximum number of bytes of each list; its last entry may exceed this
-- Returns {{task objects, highest priority first}, number of open tasks, {instances, most recently
--         seen first}, number of live instances, {envelopes as stored in the log, newest first},
--         {pauses of queues}}
-- Errors  RATE_LIMITED, CONFLICT (FLUSH_IN_PROGRESS)
-- Emits   nothing
local subject, calls, ttl, most, room = ARGV[2], ARGV[3], tonumber(ARGV[4]), tonumber(ARGV[5]), tonumber(ARGV[6])

local most_events = math.min(most, 100)

local refused = fenced() or limit(subject, calls)
if refused then return refused end

local tasks, bytes = {}, 0
for _, id in ipairs(redis.call('ZRANGE', prefix .. 'queue:open', 0, most - 1)) do
  if bytes >= room then break end
  local t = read_task(id)
  if t then
    local task = task_object(t)
    tasks[#tasks + 1] = task
    bytes = bytes + #task
  end
end

local instances = {}
bytes = 0
local leader = redis.call('HMGET', prefix .. 'health:leader', 'id', 'until')
local leads = leader[1] and tonumber(leader[2]) >= clock and leader[1]
local alive, oldest = prefix .. 'health:alive', int(clock - ttl)
local living = redis.call('ZCOUNT', alive, oldest, '+inf')
for _, id in ipairs(redis.call('ZREVRANGEBYSCORE', alive, '+inf', oldest, 'LIMIT', 0, most)) do
  if bytes >= room then break end
  local i = redis.call('HMGET', prefix .. 'instance:' .. id, 'roles', 'status', 'lastSeen', 'lastHeartbeat', 'registeredAt', 'metadata',
    'ttl', 'maxTasks')
  if i[1] then
    local instance = '{"id":' .. quote(id) .. ',"roles":' .. i[1] .. ',"status":"' .. i[2] .. '","lastSeen":' .. i[3]
      .. ',"lastHeartbeat":"' .. i[4] .. '","registeredAt":"' .. i[5] .. '","metadata":' .. raw(i[6])
      .. ',"isLeader":' .. tostring(id == leads) .. ',"ttlMs":' .. (i[7] or int(ttl)) .. ',"maxTasks":' .. (i[8] or 0)
      .. ',"inProgress":' .. redis.call('ZCARD', prefix .. 'queue:active:' .. id)
      .. ',"assigned":' .. redis.call('ZCARD', prefix .. 'queue:instance:' .. id) .. '}'
    instances[#instances + 1] = instance
    bytes = bytes + #instance
  else
    living = living - 1 -- its registration expired within this millisecond
  end
end

local events, last = {}, '+'
bytes = 0
for _ = 1, most_events do
  -- One event at a time: it would take longer to read ten of the largest events than a hundred of
  -- the usual size.
  local entry = redis.call('XREVRANGE', prefix .. 'stream:events', last, '-', 'COUNT', 1)[1]
  if not entry or bytes >= room then break end
  if entry[2][1] == 'data' then
    events[#events + 1] = entry[2][2]
    bytes = bytes + #entry[2][2]
  end
  last = '(' .. entry[1]
end
return { tasks, redis.call('ZCARD', prefix .. 'queue:open'), instances, living, events, list_pauses() }
