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
-- Claims tasks for an instance, so that it works on them. It claims the tasks that are assigned to
-- the instance first, then the waiting ones with the highest priority. If there are none, it takes
-- one task that was auto-assigned to another instance and that the other instance has not claimed
-- yet.
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
-- Returns the method's result: {claimed, taskId?, task?, tasks?}
-- Errors  RATE_LIMITED, NOT_REGISTERED, UNAUTHORIZED, CONFLICT (FLUSH_IN_PROGRESS,
--         IDEMPOTENCY_KEY_REUSED)
-- Emits   task.claimed for each task; task.assigned (rebalanced) before it if the task was taken
--         from another instance
local subject, calls = ARGV[2], ARGV[3]
local key, digest = ARGV[4], ARGV[5]
local worker, most, agent = ARGV[6], tonumber(ARGV[7]), ARGV[8]

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
if kept then return counted_answer(calls, is_whole(kept) and kept or claims_again(kept)) end

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

local own = redis.call('ZRANGE', prefix .. 'queue:instance:' .. worker, 0, most - 1)
for _, id in ipairs(own) do
  if enough() then break end
  take(read_pending_task(id))
  withdraw(worker, id)
end

local roles
if not enough() then
  roles = role_table(roles_text)
  for _, found in ipairs(best_waiting(roles, most - #claimed)) do
    if enough() then break end
    take(read_pending_task(found[1]))
    dequeue(found[3], found[1])
  end
end

-- steal takes an auto-assigned task from another instance and claims it. It looks at the ten
-- instances with the most such tasks, and at the ten best tasks of each.
local function steal()
  for _, victim in ipairs(redis.call('ZREVRANGE', prefix .. 'queue:stealable', 0, 9)) do
    if victim ~= worker then
      for _, id in ipairs(redis.call('ZRANGE', prefix .. 'queue:auto:' .. victim, 0, 9)) do
        local t = read_pending_task(id)
        if fits(roles, t.roleset) then
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
if #claimed == 0 then claimed[1] = steal() end

if claimed[1] then settle_later(worker) end
sign_of_life(worker)
if key ~= '' then
  local firsts = {}
  for i, t in ipairs(claimed) do
    firsts[i] = '{"id":"' .. t.id .. '","attempt":' .. t.attempt .. ',"updatedAt":"' .. t.updatedAt .. '"}'
  end
  remember(key, digest, '{"claimed":' .. tostring(claimed[1] ~= nil) .. ',"tasks":[' .. table.concat(firsts, ',') .. ']}')
end
return counted_answer(calls, claims(claimed))
