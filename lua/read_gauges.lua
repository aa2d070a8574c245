--- @include "lib/failures"
--- @include "lib/depths"
--- @include "lib/last_seq"
--- @include "lib/fields"
-- Reads what /metrics tells of a namespace: how much there is of what, how far the projections are
-- behind, and what they have counted. It is no command: no rate limit counts it. It answers during
-- a flush as well. The number of tasks does not matter to it, nor that of instances.
--- @readonly
--
-- KEYS[1] log
-- ARGV[1] ttl      of registrations, ms
-- ARGV[2] view     checkpoint of the task view, empty when it is not known
-- ARGV[3…] types  of events, whose counts are asked for
-- Returns JSON: {seq: of the last event, kept: entries in the log, fenced: a flush fences commands off, instances and
--         workers: live, failed: instances that failed lately, open: tasks, pending: in their queue, waiting: in the
--         queues for sets of roles, roleSets, orphaned: tasks in the oldest 100 orphans' queues, orphanQueues,
--         state: fields as strings, metrics: {checkpoint, queues, runs, events: fields as
--         strings}, lags: {projection: {events, ms}}}; what is not there is left out
-- Errors  none
-- Emits   nothing
local ttl, view = ARGV[1], ARGV[2]
local first_type = 3

local stream, metrics, oldest = prefix .. 'stream:events', prefix .. 'metrics:', int(clock - ttl)
local last, kept = last_seq(), redis.call('XLEN', stream)

-- behind counts the events after a checkpoint, and takes the age of the first of them.
local function behind(checkpoint)
  local done = string.match(checkpoint or '', '^%d+%-(%d+)$')
  local first = redis.call('XRANGE', stream, done and '(' .. checkpoint or '-', '+', 'COUNT', 1)[1]
  if not first then return { events = 0, ms = 0 } end
  local since = tonumber(string.match(first[1], '^(%d+)'))
  -- Not more than the log has: a flush takes away what was before it.
  return { events = math.min(math.max(last - (done or 0), 1), kept), ms = math.max(clock - since, 0) }
end

local waiting, sets = 0, role_queues()
for _, queue in ipairs(sets) do waiting = waiting + queue[2] end

local state = fields(prefix .. 'state:global', { 'checkpoint', 'tasks.pending', 'tasks.in_progress', 'tasks.completed',
  'tasks.failed', 'tasks.assigned' })
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
  state = state,
  metrics = {
    checkpoint = counted,
    queues = fields(metrics .. 'queues', { 'waitCount', 'waitTotalMs' }),
    runs = fields(metrics .. 'global', { 'runCount', 'runTotalMs' }),
    events = fields(metrics .. 'global', types),
  },
  lags = {
    state = behind(state and state.checkpoint),
    metrics = behind(counted),
    tasks = view ~= '' and behind(view) or nil,
  },
})
