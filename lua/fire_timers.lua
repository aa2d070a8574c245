--- @include "lib/log"
--- @lazy "lib/extras"
--- @include "lib/task_state"
--- @include "lib/due"
--- @include "lib/retry"
--- @include "lib/cancel"
--- @include "lib/fail"
--- @include "lib/settle_dependents"
--- @include "lib/limits"
-- Does what time brings about, in a bounded step: moves scheduled tasks whose time has come to their
-- queues, fails claimed tasks that were silent beyond their time limit, and cancels tasks whose
-- worker has not ended them in the grace. It goes on with what commands have left: tasks that
-- depend on others, and limits that were changed.
--
-- KEYS[1] log
-- ARGV[1] context    members of the event's envelope as JSON text: actor, cause, trace
-- ARGV[2] retention  how long a finished task is kept, ms
-- Returns {number of tasks changed, ms until there is more to do, -1 if nothing waits for a time}
-- Errors  CONFLICT (FLUSH_IN_PROGRESS)
-- Emits   task.due, task.timed_out, task.retried, task.failed, task.cancelled, task.unblocked,
--         task.blocked, task.unassigned
local retention = ARGV[2]

local most_late, most_dependents, most_turns = 25, 50, 50 -- a call

local refused = open_log()
if refused then return refused end
local changed = release_due()

local deadlines = prefix .. 'queue:deadlines'
for _, id in ipairs(redis.call('ZRANGEBYSCORE', deadlines, '-inf', int(clock), 'LIMIT', 0, most_late)) do
  local t = read_task_state(id)
  if not t or t.status ~= 'in_progress' or not t.timeoutAt and not t.cancelAt then -- left by an earlier version
    redis.call('ZREM', deadlines, id)
  elseif t.cancelAt and tonumber(t.cancelAt) <= clock then
    end_cancelled(t, nil, nil, retention)
  else
    local limit_ms = int(rare().option(t, 'timeoutMs'))
    emit('task.timed_out', '{"id":"' .. id .. '","workerId":' .. quote_name(t.assignedTo) .. ',"attempt":' .. t.attempt .. ',"timeoutMs":'
      .. limit_ms .. ',"timeoutAt":"' .. iso(tonumber(t.timeoutAt)) .. '"}')
    local failure = failure_for('TIMED_OUT', '"timeoutMs":' .. limit_ms)
    if t.cancel then
      end_cancelled(t, nil, nil, retention)
    elseif not try_again(t, failure) then
      fail(t, '', failure, retention)
    end
  end
  changed = changed + 1
end
changed = changed + settle_dependents(most_dependents, retention) + apply_limits(most_turns)
if redis.call('EXISTS', prefix .. 'queue:settling', prefix .. 'queue:relimits') > 0 then return { changed, 0 } end
local first = redis.call('ZRANGE', deadlines, 0, 0, 'WITHSCORES')[2]
local soonest = math.min(tonumber(due or math.huge), tonumber(first or math.huge))
if soonest == math.huge then return { changed, -1 } end
return { changed, math.max(soonest - clock, 0) }
