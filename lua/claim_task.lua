--- @include "lib/log"
--- @include "lib/guard"
--- @include "lib/answer"
--- @include "lib/idempotency"
--- @include "lib/pending_task"
--- @include "lib/task"
--- @include "lib/best_waiting"
--- @include "lib/withdraw"
--- @include "lib/assign"
--- @include "lib/claim"
--- @include "lib/settle"
--- @include "lib/ownership"
--- @include "lib/registered"
--- @include "lib/wakeups"
--- @lazy "lib/due"
--- @include "lib/paused"
-- Claims tasks for an instance, so that it works on them. It claims the tasks that task.assign gave
-- to the instance first, then those with the highest priority among the ones that were auto-assigned
-- to it and the ones that wait. If there are none, it takes one task that was auto-assigned to
-- another instance and that the other instance has not claimed yet. It leaves out tasks whose queue is
-- paused, and looks at a bounded number of those that are assigned to the instance.
--- @lot 4
--
-- KEYS[1] log
-- ARGV[1] context  members of the event's envelope as JSON text: actor, cause, trace
-- ARGV[2] subject  key of the rate limit, method:actor
-- ARGV[3] calls    calls a minute, 0 for no limit; further lines hold other limits (lib/guard)
-- ARGV[4] key      hash of the idempotency key, '' for none
-- ARGV[5] digest   of the params
-- ARGV[6] worker   id of the instance
-- ARGV[7] most     how many tasks to claim, 1 to 100
-- ARGV[8] agent    name of the calling agent's token, '' if the caller may act for all
-- ARGV[9] hold     0, or for a call that goes on to wait when there is no task: how long other scripts
--                 then write wake-ups for its roles, ms. Its claim of nothing is not remembered
--                 under its key
-- Returns the method's result: {claimed, taskId?, task?, tasks?}. With hold, it is a list: the
--         result, the instance's roles as JSON text ('' for an answer that is repeated) and TTL in
--         ms, the role set of each claimed task
-- Errors  RATE_LIMITED, NOT_REGISTERED, UNAUTHORIZED, CONFLICT (FLUSH_IN_PROGRESS,
--         IDEMPOTENCY_KEY_REUSED)
-- Emits   task.due for scheduled tasks whose time has come; task.claimed for each task; task.assigned (rebalanced) before it if the task was taken
--         from another instance
local subject, calls = ARGV[2], ARGV[3]
local key, digest = ARGV[4], ARGV[5]
local worker, most, agent, hold = ARGV[6], tonumber(ARGV[7]), ARGV[8], tonumber(ARGV[9])
local waits = hold > 0

local refused = open_log()
if refused then return refused end
refused = limit(subject, calls)
if refused then return refused end

-- claims returns the method's result for a list of claimed tasks.
local function claims(list)
  if #list == 0 then return '{"claimed":false}' end
  local objects = {}
  for i, t in ipairs(list) do objects[i] = task_object(t) end
  local all = most > 1 and ',"tasks":[' .. table.concat(objects, ',') .. ']}' or '}'
  return '{"claimed":true,"taskId":"' .. list[1].id .. '","task":' .. objects[1] .. all
end

-- A call claims or returns no further task once the text and metadata of its tasks exceed
-- max_bytes.
local max_bytes = 4194304

-- claims_again returns the result of an earlier claim again. Text, priority and metadata are the
-- current ones. It leaves out deleted tasks, and tasks beyond max_bytes.
local function claims_again(kept)
  local list, bytes = {}, 0
  for _, first in ipairs(cjson.decode(kept).tasks or {}) do
    local t = bytes <= max_bytes and read_task(first.id)
    if t then
      bytes = bytes + #t.text + #(t.metadata or '')
      t.status, t.assignedTo, t.attempt, t.updatedAt = 'in_progress', worker, int(first.attempt), first.updatedAt
      t.result, t.error, t.completedAt = false, false, false
      list[#list + 1] = t
    end
  end
  return claims(list)
end

local kept
kept, refused = recall(key, digest)
if refused then return refused end
if kept then
  local again = counted_answer(calls, is_whole(kept) and kept or claims_again(kept))
  return waits and { again, '', 0 } or again
end

local roles_text = registered(worker)
if not roles_text then return redis.error_reply('NOT_REGISTERED {"instanceId":' .. quote(worker) .. '}') end
refused = foreign_instance(agent, worker)
if refused then return refused end

local claimed, bytes = {}, 0
-- enough reports whether no more tasks may be claimed. The first task always fits.
local function enough() return #claimed >= most or bytes > max_bytes end
local function take(t)
  claim(t, worker)
  claimed[#claimed + 1] = t
  bytes = bytes + #t.text + #(t.metadata or '')
end

-- A call looks at no more than so many tasks that are assigned to the instance and whose queue is
-- paused.
local most_held = 1000

local own, auto = prefix .. 'queue:instance:' .. worker, prefix .. 'queue:auto:' .. worker
local assigned = redis.call('ZCARD', own)
local auto_assigned = assigned > 0 and redis.call('ZCARD', auto) or 0

-- take_given claims the tasks that task.assign gave to the instance. The tasks that were
-- auto-assigned to it, at most maxTasks, are in the same queue.
local function take_given()
  local from, left, held = 0, assigned - auto_assigned, 0
  while left > 0 and held < most_held and not enough() do
    local page = redis.call('ZRANGE', own, from, from + 99)
    if not page[1] then return end
    local scores = redis.call('ZMSCORE', auto, unpack(page))
    for i, id in ipairs(page) do
      if enough() then return end
      if scores[i] then
        from = from + 1
      elseif is_held(id) then
        from, left, held = from + 1, left - 1, held + 1
      else
        take(read_pending_task(id))
        withdraw(worker, id)
        left = left - 1
      end
    end
  end
end

-- best_auto returns up to n tasks that were auto-assigned to the instance, best first, as {id, score,
-- …}.
local function best_auto(n)
  if auto_assigned == 0 then return {} end
  if not some_paused then return redis.call('ZRANGE', auto, 0, n - 1, 'WITHSCORES') end
  local all, found = redis.call('ZRANGE', auto, 0, most_held - 1, 'WITHSCORES'), {}
  for i = 1, #all, 2 do
    if #found < 2 * n and not is_held(all[i]) then
      found[#found + 1] = all[i]
      found[#found + 1] = all[i + 1]
    end
  end
  return found
end

-- take_best claims the best tasks among those that were auto-assigned to the instance and those that
-- wait.
local function take_best(roles)
  local mine = best_auto(most - #claimed)
  local next_mine, next_found = 1, 1
  local found = best_waiting(roles, most - #claimed)
  while not enough() and (mine[next_mine] or found[next_found]) do
    local other = found[next_found]
    if not other or mine[next_mine] and tonumber(mine[next_mine + 1]) < other[2] then
      take(read_pending_task(mine[next_mine]))
      withdraw(worker, mine[next_mine])
      next_mine = next_mine + 2
    else
      take(read_pending_task(other[1]))
      dequeue(other[3], other[1])
      next_found = next_found + 1
    end
  end
end

local stopped = is_paused('*') -- all queues are paused
if assigned > auto_assigned and not stopped then take_given() end
local roles
if not enough() and not stopped then
  if due and tonumber(due) <= clock then rare().release_due() end
  roles = role_table(roles_text)
  take_best(roles)
end

-- steal takes an auto-assigned task from another instance and claims it. It looks at the ten
-- instances with the most such tasks, and at the ten best tasks of each.
local function steal()
  local held = 0
  for _, victim in ipairs(redis.call('ZREVRANGE', prefix .. 'queue:stealable', 0, 9)) do
    if victim ~= worker then
      local looked = 0
      for _, id in ipairs(redis.call('ZRANGE', prefix .. 'queue:auto:' .. victim, 0, some_paused and most_held - 1 or 9)) do
        if looked == 10 or held == most_held then break end
        local t = not is_held(id) and read_pending_task(id)
        if t then looked = looked + 1 else held = held + 1 end
        if t and fits(roles, t.roleset) then
          assign(t, worker, 'rebalanced')
          withdraw(victim, id)
          claim(t, worker)
          withdraw(worker, id)
          settle_later(victim)
          return t
        end
      end
    end
  end
end
if #claimed == 0 and not stopped then claimed[1] = steal() end

if claimed[1] then
  settle_later(worker)
elseif waits then
  await_tasks(roles_text, hold)
end
sign_of_life(worker)
if key ~= '' and not (waits and not claimed[1]) then
  local firsts = {}
  for i, t in ipairs(claimed) do
    firsts[i] = '{"id":"' .. t.id .. '","attempt":' .. t.attempt .. ',"updatedAt":"' .. t.updatedAt .. '"}'
  end
  remember(key, digest, '{"claimed":' .. tostring(claimed[1] ~= nil) .. ',"tasks":[' .. table.concat(firsts, ',') .. ']}')
end
local answer = counted_answer(calls, claims(claimed))
if not waits then return answer end
local reply = { answer, roles_text, tonumber(registration(worker)[4] or fleet_ttl or 0) }
for i, t in ipairs(claimed) do reply[i + 3] = t.roleset or '' end
return reply
