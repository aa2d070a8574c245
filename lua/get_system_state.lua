--- @include "lib/guard"
--- @include "lib/fence"
--- @include "lib/task"
-- Takes a snapshot of the system: open tasks, live instances, and the last events. Each list ends
-- where it has its most entries, or its most bytes, whichever comes first. Nothing but the rate
-- limit's counters changes.
--- @readonly
--
-- KEYS[1] log
-- ARGV[1] context   inside of the envelope, not used
-- ARGV[2] subject   method:actor of the rate limit
-- ARGV[3] calls     a minute and actor, 0 for no limit
-- ARGV[4] ttl       of registrations, ms
-- Returns {{task objects, the highest priority first}, open tasks, {instances, the one seen last first}, live
--         instances, {envelopes as they are in the log, the newest first}}
-- Errors  RATE_LIMITED, CONFLICT (FLUSH_IN_PROGRESS)
-- Emits   nothing
local subject, calls, ttl = ARGV[2], ARGV[3], tonumber(ARGV[4])

local most_tasks, most_instances, most_events = 200, 200, 100
local most_bytes = 524288 -- of each list; its last entry may exceed it, since users' metadata may

local refused = fenced() or limit(subject, calls)
if refused then return refused end

local tasks, bytes = {}, 0
for _, id in ipairs(redis.call('ZRANGE', prefix .. 'queue:open', 0, most_tasks - 1)) do
  if bytes >= most_bytes then break end
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
for _, id in ipairs(redis.call('ZREVRANGEBYSCORE', alive, '+inf', oldest, 'LIMIT', 0, most_instances)) do
  if bytes >= most_bytes then break end
  local i = redis.call('HMGET', prefix .. 'instance:' .. id, 'roles', 'status', 'lastSeen', 'lastHeartbeat', 'registeredAt', 'metadata')
  if i[1] then
    local instance = '{"id":' .. quote(id) .. ',"roles":' .. i[1] .. ',"status":"' .. i[2] .. '","lastSeen":' .. i[3]
      .. ',"lastHeartbeat":"' .. i[4] .. '","registeredAt":"' .. i[5] .. '","metadata":' .. raw(i[6])
      .. ',"isLeader":' .. tostring(id == leads) .. '}'
    instances[#instances + 1] = instance
    bytes = bytes + #instance
  else
    living = living - 1 -- it expires within this millisecond
  end
end

local events, last = {}, '+'
bytes = 0
for _ = 1, most_events do
  -- One at a time: ten of the largest would take longer to read than a hundred of the usual ones.
  local entry = redis.call('XREVRANGE', prefix .. 'stream:events', last, '-', 'COUNT', 1)[1]
  if not entry or bytes >= most_bytes then break end
  if entry[2][1] == 'data' then
    events[#events + 1] = entry[2][2]
    bytes = bytes + #entry[2][2]
  end
  last = '(' .. entry[1]
end
return { tasks, redis.call('ZCARD', prefix .. 'queue:open'), instances, living, events }
