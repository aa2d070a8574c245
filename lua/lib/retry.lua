--- @include "lib/log"
--- @include "lib/json"
--- @include "lib/iso"
--- @include "lib/due"
--- @include "lib/finish"
--- @include "lib/failed_tries"
--- @include "lib/deadlines"
--- @include "lib/turns"
-- pause_after returns how long a task waits after a failure, in ms. The jitter depends on the task
-- and the failure alone, because Redis gives every script the same random numbers.
local function pause_after(retry, t)
  local pause = math.min(retry.backoffMs * retry.factor ^ (t.failures - 1), retry.maxBackoffMs)
  local part = tonumber(string.sub(redis.sha1hex(t.id .. ':' .. t.attempt .. ':' .. now_text), 1, 8), 16) / 4294967295
  return math.floor(pause * (1 + retry.jitter * (2 * part - 1)) + 0.5)
end

-- try_again makes a claimed task scheduled after a failure, if a try is left and nobody cancels the task. It
-- returns whether it did. The parameters are those of fail. Emits task.retried.
local function try_again(t, failure, context)
  local retry = not t.cancel and option(t, 'retry')
  if not retry or (t.failures or 0) + 1 >= retry.maxAttempts then return false end
  local owner, key = t.assignedTo, prefix .. 'task:' .. t.id
  local fields = note_failed_try(t, failure, at)
  t.runAt = int(clock + pause_after(retry, t))
  local n = emit('task.retried', '{"id":"' .. t.id .. '","status":"scheduled","previousStatus":"in_progress","workerId":'
    .. quote_name(owner) .. ',"attempt":' .. t.attempt .. ',"duration":' .. int(now - t.claimedAt) .. ',"failures":' .. t.failures
    .. ',"error":' .. raw(failure) .. ',"runAt":"' .. iso(tonumber(t.runAt)) .. '"}', context)
  redis.call('HSET', key, 'status', 'scheduled', 'runAt', t.runAt, 'previousAssignment', owner, 'updatedAt', at, 'seq', n, unpack(fields))
  redis.call('HDEL', key, 'assignedTo', 'assignedSeq', 'claimedAt')
  unwatch(t)
  leave_queue(t)
  schedule(t.id, t.runAt)
  leave_limit(t, context)
  settle_later(owner)
  t.status, t.previousAssignment, t.assignedTo, t.updatedAt = 'scheduled', owner, false, at
  return true
end
