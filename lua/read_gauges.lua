--- @include "lib/failures"
--- @include "lib/depths"
--- @include "lib/last_seq"
--- @include "lib/fields"
--- @include "lib/behind"
-- Reads the values of a namespace for /metrics: how many instances, tasks and events there are, how
-- far the projections are behind the log, and what they have counted. The cost does not depend on
-- the number of tasks or instances.
--
-- No rate limit applies, because this is not a command. The script works behind the fence of a
-- flush too.
--- @readonly
--
-- KEYS[1] log
-- ARGV[1] ttl     of registrations, ms
-- ARGV[2] view    checkpoint of the task view, '' if unknown
-- ARGV[3] index   checkpoint of the index of events, '' if unknown
-- ARGV[4…] types  event types whose counts are read
-- Returns JSON: {seq: of the last event, kept: number of entries in the log, fenced: whether a
--         flush fences commands off, instances and workers: number of live ones, failed: number of
--         instances that failed recently, open: number of open tasks, pending: number of tasks in
--         the pending queue, waiting: number of tasks in the queues of role sets, roleSets: number
--         of role sets, orphaned: number of tasks in the oldest 100 orphan queues, orphanQueues:
--         number of orphan queues, paused: number of pauses, schedules and ticks: number of
--         schedules and of those that are not paused, lateness: of the tick that waits to be
--         fired, or else of the last one, in ms, scheduled and blocked:
--         number of tasks with that status, late: age of the earliest due task that is not yet moved
--         to a queue, ms, state: fields as strings, metrics: {checkpoint, queues, runs, tries, events:
--         fields as strings}, lags: {projection: {events, ms}}}. A member without a value
--         is left out
-- Errors  none
-- Emits   nothing
local ttl, view, index = ARGV[1], ARGV[2], ARGV[3]
local first_type = 4

local metrics, oldest = prefix .. 'metrics:', int(clock - ttl)
local last, kept = last_seq(), redis.call('XLEN', prefix .. 'stream:events')

-- lag returns how far a projection is behind.
local function lag(checkpoint)
  local n, ms = behind(checkpoint, last, kept)
  return { events = n, ms = ms }
end

local waiting, sets = 0, role_queues()
for _, queue in ipairs(sets) do waiting = waiting + queue[2] end

-- lateness returns how late the tick is that waits to be fired, or else how late the last one was.
local function lateness()
  local first = redis.call('ZRANGE', prefix .. 'schedules:next', 0, 0, 'WITHSCORES')[2]
  if first and tonumber(first) <= clock then return clock - first end
  local lag = redis.call('HGET', prefix .. 'schedules:firing', 'lag')
  return lag and tonumber(lag) or nil
end

local state = fields(prefix .. 'state:global', { 'checkpoint', 'tasks.pending', 'tasks.in_progress', 'tasks.completed',
  'tasks.failed', 'tasks.assigned', 'tasks.scheduled', 'tasks.blocked', 'tasks.cancelled' })
local due = redis.call('HGET', KEYS[1], 'due')
local counted = redis.call('GET', prefix .. 'service:checkpoint:metrics') or ''
local types = {}
for i = first_type, #ARGV do types[#types + 1] = 'events.' .. ARGV[i] end

return cjson.encode({
  seq = last,
  kept = kept,
  fenced = redis.call('HEXISTS', KEYS[1], 'fence') == 1,
  instances = redis.call('ZCOUNT', prefix .. 'health:alive', oldest, '+inf'),
  workers = redis.call('ZCOUNT', prefix .. 'health:workers', oldest, '+inf'),
  failed = recent_failures(),
  open = redis.call('ZCARD', prefix .. 'queue:open'),
  pending = redis.call('ZCARD', prefix .. 'queue:tasks:pending'),
  waiting = waiting,
  roleSets = #sets,
  orphaned = orphaned(),
  orphanQueues = redis.call('ZCARD', prefix .. 'queue:orphaned'),
  paused = redis.call('HLEN', prefix .. 'queue:paused'),
  schedules = redis.call('ZCARD', prefix .. 'schedules:ids'),
  ticks = redis.call('ZCARD', prefix .. 'schedules:next'),
  lateness = lateness(),
  scheduled = redis.call('ZCARD', prefix .. 'queue:scheduled'),
  blocked = redis.call('ZCARD', prefix .. 'queue:blocked'),
  late = due and math.max(clock - due, 0) or 0,
  state = state,
  metrics = {
    checkpoint = counted,
    queues = fields(metrics .. 'queues', { 'waitCount', 'waitTotalMs' }),
    runs = fields(metrics .. 'global', { 'runCount', 'runTotalMs' }),
    tries = fields(metrics .. 'global', { 'tasksRetried', 'tasksTimedOut', 'tasksLost', 'tasksCancelled' }),
    events = fields(metrics .. 'global', types),
  },
  lags = {
    state = lag(state and state.checkpoint),
    metrics = lag(counted),
    tasks = view ~= '' and lag(view) or nil,
    events = index ~= '' and lag(index) or nil,
  },
})
