--- @include "lib/log"
--- @include "lib/json"
--- @include "lib/finish"
-- cancellation returns who cancels a task and why as the task object has it. by and reason are JSON
-- text; requested_at and cancel_at are ISO 8601, nil if the task was not in progress.
local function cancellation(by, reason, requested_at, cancel_at)
  return '{"by":' .. by .. ',"reason":' .. reason .. ',"requestedAt":' .. quoted(requested_at) .. ',"cancelAt":' .. quoted(cancel_at) .. '}'
end

-- end_cancelled ends an open task as cancelled. by and reason are JSON text, nil if the cancellation
-- was requested before; the other parameters are those of finish. Emits task.cancelled.
local function end_cancelled(t, by, reason, retention, context)
  if t.cancel then
    by, reason = string.match(t.cancel, '^{"by":(.*),"reason":(.*),"requestedAt":')
  else
    t.cancel, t.extras = cancellation(by, reason), '1'
  end
  local n = emit('task.cancelled', '{"id":"' .. t.id .. '","by":' .. by .. ',"reason":' .. reason .. ',"status":"cancelled","previousStatus":"'
    .. t.status .. '","workerId":' .. quoted(t.assignedTo) .. ',"attempt":' .. t.attempt .. ',"completedAt":"' .. at .. '"}', context)
  redis.call('HSET', prefix .. 'task:' .. t.id, 'status', 'cancelled', 'completedAt', at, 'updatedAt', at, 'seq', n,
    'cancel', t.cancel, 'extras', '1')
  close_task(t, 'cancelled', retention, context)
  t.status, t.completedAt, t.updatedAt = 'cancelled', at, at
end
