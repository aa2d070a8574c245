--- @include "lib/failures"
--- @include "lib/depths"
--- @include "lib/moment"
-- Reads what /metrics tells of a namespace: how much there is of what, how far the projections are behind, and what
-- they have counted. It is no command: no rate limit counts it. It answers during a flush as well. The number
-- of tasks does not matter to it, nor that of instances.
--- @readonly
--
-- KEYS[1] log
-- ARGV[1] ttl      of registrations, ms
-- ARGV[2] view     checkpoint of the task view, empty when it is not known
-- ARGV[3…] types  of events, whose counts are asked for
-- Returns {seq of the last event, entries in the log, 1 while commands are fenced off, live instances, live workers,
--         instances that failed lately, open tasks, tasks in the pending queue, tasks in the queues for sets of roles,
--         sets of roles, tasks in the oldest 100 orphans' queues, orphans' queues, {the state projection's
--         checkpoint, tasks pending, in progress, completed, failed, and assigned}, {the metrics projection's checkpoint,
--         claims, ms waited for them, ends, ms run until them}, {the number of events of each type},
--         {for state, metrics and the task view: events not applied, age of the first of them in ms}};
--         what is not there is nil
-- Errors  none
-- Emits   nothing
local ttl, view = ARGV[1], ARGV[2]
local first_type = 3

local stream, metrics, oldest = prefix .. 'stream:events', prefix .. 'metrics:', int(clock - ttl)
local last, kept = moment(), redis.call('XLEN', stream)

-- behind tells how many events there are behind a checkpoint, and how old the first of them is.
local function behind(checkpoint)
  local done = string.match(checkpoint or '', '^%d+%-(%d+)$')
  local first = redis.call('XRANGE', stream, done and '(' .. checkpoint or '-', '+', 'COUNT', 1)[1]
  if not first then return { 0, 0 } end
  local since = tonumber(string.match(first[1], '^(%d+)'))
  -- Not more than the log has: a flush takes away what was before it.
  return { math.min(math.max(last - (done or 0), 1), kept), int(math.max(clock - since, 0)) }
end

local waiting, sets = 0, role_queues()
for _, queue in ipairs(sets) do waiting = waiting + queue[2] end

local state = redis.call('HMGET', prefix .. 'state:global', 'checkpoint', 'tasks.pending', 'tasks.in_progress',
  'tasks.completed', 'tasks.failed', 'tasks.assigned')
local waits = redis.call('HMGET', metrics .. 'queues', 'waitCount', 'waitTotalMs')
local runs = redis.call('HMGET', metrics .. 'global', 'runCount', 'runTotalMs')
local counted = redis.call('GET', prefix .. 'service:checkpoint:metrics')
local types = {}
for i = first_type, #ARGV do types[#types + 1] = 'events.' .. ARGV[i] end

return {
  last,
  kept,
  redis.call('HEXISTS', KEYS[1], 'fence'),
  redis.call('ZCOUNT', prefix .. 'health:alive', oldest, '+inf'),
  redis.call('ZCOUNT', prefix .. 'health:workers', oldest, '+inf'),
  recent_failures(),
  redis.call('ZCARD', prefix .. 'queue:open'),
  redis.call('ZCARD', prefix .. 'queue:tasks:pending'),
  waiting,
  #sets,
  orphaned(),
  redis.call('ZCARD', prefix .. 'queue:orphaned'),
  state,
  { counted, waits[1], waits[2], runs[1], runs[2] },
  redis.call('HMGET', metrics .. 'global', unpack(types)),
  { behind(state[1]), behind(counted), view ~= '' and behind(view) },
}
