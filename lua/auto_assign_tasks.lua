--- @include "lib/log"
--- @include "lib/task"
--- @include "lib/best_waiting"
--- @include "lib/assign"
--- @include "lib/settle"
--- @include "lib/wakeups"
-- Assigns waiting tasks to workers that have room, to one worker or evenly to all. The least loaded
-- worker gets the next task, which is the best waiting one that it may take. One call assigns at
-- most 25 tasks.
--
-- A worker may hold its fair share, which is the number of tasks that are pending or in progress
-- divided by the number of live workers, rounded up, but never more than its own maximum. The room is what remains after the
-- tasks that it holds.
--
-- KEYS[1] log
-- ARGV[1] context   members of the event's envelope as JSON text: actor, cause, trace
-- ARGV[2] instance  the worker, '' for all workers
-- ARGV[3] reason    of the assignment, for the event
-- ARGV[4] ttl       of registrations, ms
-- ARGV[5] from      how many of the least loaded workers earlier calls have looked at without
--                   assigning a task; only for all workers
-- Returns {tasks assigned, tasks that were open, 1 if more may be assignable else 0, from for the
--         next call}
-- Errors  CONFLICT (FLUSH_IN_PROGRESS)
-- Emits   task.assigned for each task
local instance, reason, ttl, from = ARGV[2], ARGV[3], tonumber(ARGV[4]), tonumber(ARGV[5])

local most = 25

local refused = open_log()
if refused then return refused end
local open = redis.call('ZCARD', prefix .. 'queue:open') - redis.call('ZCARD', prefix .. 'queue:scheduled')
  - redis.call('ZCARD', prefix .. 'queue:blocked')
local oldest = int(clock - ttl)
local workers = redis.call('ZCOUNT', prefix .. 'health:workers', oldest, '+inf')
if open == 0 or workers == 0 then return { 0, open, 0, 0 } end
local share = math.ceil(open / workers)

-- candidates lists the workers with room as {id, held, room, roles, given}, least loaded first.
local candidates = {}
local available = prefix .. 'queue:available'
local heads
if instance == '' then
  heads = redis.call('ZRANGE', available, from, from + most - 1, 'WITHSCORES')
else
  heads = { instance, redis.call('ZSCORE', available, instance) }
end
for i = 1, #heads, 2 do
  local id, held = heads[i], tonumber(heads[i + 1] or nil)
  local worker = redis.call('HMGET', prefix .. 'instance:' .. id, 'maxTasks', 'roles', 'lastSeen', 'grace')
  if held and worker[1] and worker[3] + (worker[4] or 0) >= clock - ttl then
    local room = math.min(share, tonumber(worker[1])) - held
    if room > 0 then
      candidates[#candidates + 1] = { id = id, held = held, room = room, roles = role_table(worker[2]), given = 0 }
    end
  end
end

local assigned = 0
while assigned < most and #candidates > 0 do
  local least = 1
  for i = 2, #candidates do
    if candidates[i].held < candidates[least].held then least = i end
  end
  local worker = candidates[least]
  local found = best_waiting(worker.roles, 1)[1]
  if found then
    local t = read_task(found[1])
    assign(t, worker.id, reason)
    wake_instance(worker.id)
    wake_workers(t.roleset) -- others may take it until the worker claims it
    redis.call('ZREM', found[3], t.id)
    redis.call('ZADD', prefix .. 'queue:auto:' .. worker.id, int(found[2]), t.id)
    assigned = assigned + 1
    worker.held, worker.room, worker.given = worker.held + 1, worker.room - 1, worker.given + 1
  end
  if not found or worker.room == 0 then
    if worker.given > 0 then
      redis.call('ZADD', prefix .. 'queue:stealable', redis.call('ZCARD', prefix .. 'queue:auto:' .. worker.id), worker.id)
      settle(worker.id)
    end
    table.remove(candidates, least)
  end
end
for _, worker in ipairs(candidates) do
  if worker.given > 0 then
    redis.call('ZADD', prefix .. 'queue:stealable', redis.call('ZCARD', prefix .. 'queue:auto:' .. worker.id), worker.id)
    settle(worker.id)
  end
end
-- The list is sorted by load: after a worker that holds its share, all others hold theirs too.
local further = instance == '' and #heads == 2 * most and tonumber(heads[#heads]) < share
if assigned > 0 then return { assigned, open, (assigned == most or further) and 1 or 0, 0 } end
return { 0, open, further and 1 or 0, further and from + most or 0 }
