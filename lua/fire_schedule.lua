--- @include "lib/log"
--- @include "lib/schedules"
--- @include "lib/new_task"
-- Ends a tick of a schedule: makes its task, or notes that the tick was missed, and sets the next
-- tick. Nothing happens unless the schedule is as the caller has read it and the tick has come, so
-- each tick ends once, however many coordinators try. Ticks from due to before tick were missed.
--- @lot 32
--
-- KEYS[1] log
-- ARGV[1] context  members of the event's envelope as JSON text: actor, cause, trace
-- ARGV[2] id       of the schedule
-- ARGV[3] version  of the schedule that the caller has read
-- ARGV[4] due      its next tick, ms
-- ARGV[5] tick     the tick that ends, ms: due or a later one
-- ARGV[6] next     the tick after it, ms
-- ARGV[7] missed   why the tick makes no task, as JSON text, or ''
-- ARGV[8] retention  how long a finished task is kept, ms
-- Returns 1 if the tick ended in this call, else 0
-- Errors  CONFLICT (FLUSH_IN_PROGRESS); TOO_MANY_ROLE_SETS and NOT_FOUND are only reasons in the event
-- Emits   schedule.fired; task.created; task.cancelled if the task depends on one that has failed or
--         was cancelled; task.unblocked if another task has its turn by that
local context, id, version = ARGV[1], ARGV[2], ARGV[3]
local due, tick, next, missed, retention = ARGV[4], ARGV[5], ARGV[6], ARGV[7], ARGV[8]

local refused = open_log()
if refused then return refused end
local s = read_schedule(id)
if not s or s.version ~= version or s.next ~= due or tonumber(tick) > clock then return 0 end

local options = s.options ~= '' and s.options or nil
local problem, plan = missed ~= '' and missed, nil
if not problem then
  plan, refused = plan_task(s.roleset, '', options)
  if refused then
    local code, detail = string.match(refused.err, '^(%S+) ({.*})$')
    problem = code == 'CONFLICT' and detail or '{"reason":"' .. code .. '",' .. string.sub(detail, 2)
  end
end
local task = not problem and (plan.existing and plan.existing.id or 't-' .. int(seq + 2))
local fired = int(s.fired + (task and not plan.existing and 1 or 0))
local n = emit('schedule.fired', '{"id":' .. quote(id) .. ',"due":' .. moment(due) .. ',"tick":' .. moment(tick) .. ',"nextTick":' .. moment(next)
  .. ',"taskId":' .. quoted(task) .. ',"fired":' .. fired .. ',"error":' .. raw(problem) .. '}')
local key = prefix .. 'schedule:' .. id
redis.call('HSET', key, 'next', next, 'lastTick', tick, 'seq', n)
redis.call('ZADD', prefix .. 'schedules:next', next, id)
if problem then
  redis.call('HSET', key, 'lastError', problem)
  redis.call('HDEL', key, 'lastTask')
  return 1
end
redis.call('HSET', key, 'lastTask', task, 'fired', fired)
redis.call('HDEL', key, 'lastError')
redis.call('HSET', prefix .. 'schedules:firing', 'lag', int(clock - tick), 'at', now_text)
if plan.existing then return 1 end
-- The schedule's event has led to the task's. The calls of a lot share ARGV[1], so that it must be as
-- before for the next one, also after an error.
ARGV[1] = string.gsub(context, '"cause":null', '"cause":"' .. event_id .. '"', 1)
local run_at = s.delay ~= '' and int(clock + s.delay) or s.at ~= '' and s.at or nil
local created, failure = pcall(function()
  create_planned(plan, s.text, s.priority, s.metadata, s.roleset, s.creator, '', run_at, options, retention)
end)
ARGV[1] = context
if not created then error(failure, 0) end
return 1
