--- @include "lib/log"
--- @include "lib/task"
--- @include "lib/best_waiting"
--- @include "lib/assign"
--- @include "lib/settle"
-- Gives waiting tasks to workers with room, the best task first, 25 a call: to one worker, or to
-- all of them evenly, the least loaded first.
--
-- A worker is given no more than its fair share, open tasks ÷ live workers rounded up, and no more
-- than the most it asked for, less what it holds.
--
-- KEYS[1] log
-- ARGV[1] context   inside of the envelope: actor, cause, trace
-- ARGV[2] instance  the worker, or '' for all
-- ARGV[3] reason    why now
-- ARGV[4] ttl       of registrations, ms
-- ARGV[5] from      how many of the workers, the least loaded first, have been looked at in vain; for all
-- Returns {tasks assigned, tasks that were open, 1 when there may be more to do else 0, from for the next call}
-- Errors  CONFLICT (FLUSH_IN_PROGRESS)
-- Emits   task.assigned for each
local instance, reason, ttl, from = ARGV[2], ARGV[3], tonumber(ARGV[4]), tonumber(ARGV[5])

local most = 25

local refused = open_log()
if refused then return refused end
local open = redis.call('ZCARD', prefix .. 'queue:open')
local oldest = int(clock - ttl)
local workers = redis.call('ZCOUNT', prefix .. 'health:workers', oldest, '+inf')
if open == 0 or workers == 0 then return { 0, open, 0, 0 } end
local share = math.ceil(open / workers)

-- candidates: workers with room, as {id, held, room, roles}, the least loaded first.
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
  local worker = redis.call('HMGET', prefix .. 'instance:' .. id, 'maxTasks', 'roles', 'lastSeen')
  if held and worker[1] and tonumber(worker[3]) >= clock - ttl then
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
-- Behind a worker that holds its share, all hold theirs.
local further = instance == '' and #heads == 2 * most and tonumber(heads[#heads]) < share
if assigned > 0 then return { assigned, open, (assigned == most or further) and 1 or 0, 0 } end
return { 0, open, further and 1 or 0, further and from + most or 0 }
