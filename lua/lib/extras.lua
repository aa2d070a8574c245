--- @include "lib/space"
--- @include "lib/json"
--- @include "lib/iso"
-- What only some tasks have: options, a later time, failures, losses, progress, a deadline, a
-- cancellation. The field extras of a task's hash is 1 if the task has any of them, so that they cost
-- the other tasks no further call.
--
--   options    the options of task.create as a JSON object with all their defaults
--   open       how many of the tasks that it depends on are not completed
--   runAt      when the task becomes or became claimable, ms
--   failures   how many tries have failed
--   losses     how often the task was lost with its worker
--   errors     the last failures, each as a JSON object, with a record separator between two
--   progress   what the worker said last, a JSON object
--   timeoutAt  when the time limit of a claimed task is over, ms
--   cancel     who cancels the task and why, a JSON object
--   cancelAt   when a task that is to be cancelled is taken from its worker, ms

-- read_extras reads them into a table of read_task that has the field extras.
local function read_extras(t)
  local x = redis.call('HMGET', prefix .. 'task:' .. t.id, 'options', 'runAt', 'failures', 'losses', 'errors', 'progress', 'timeoutAt',
    'cancel', 'cancelAt', 'open')
  t.options, t.runAt, t.failures, t.losses, t.errors, t.progress = x[1], x[2], x[3], x[4], x[5], x[6]
  t.timeoutAt, t.cancel, t.cancelAt, t.open = x[7], x[8], x[9], x[10]
end

-- option returns an option of a task (a table of read_task), nil if it has not.
local function option(t, name)
  if not t.options then return nil end
  t.decoded = t.decoded or cjson.decode(t.options)
  return t.decoded[name]
end

-- extras_members returns them as members of the task object, which begin with a comma.
local function extras_members(t)
  local text = ',"failures":' .. (t.failures or '0') .. ',"losses":' .. (t.losses or '0') .. ',"runAt":'
    .. (t.runAt and '"' .. iso(tonumber(t.runAt)) .. '"' or 'null') .. ',"errors":['
    .. (t.errors and string.gsub(t.errors, '\30', ',') or '') .. ']'
  if t.options then text = text .. ',' .. string.sub(t.options, 2, -2) end
  if t.timeoutAt then text = text .. ',"timeoutAt":"' .. iso(tonumber(t.timeoutAt)) .. '"' end
  if t.progress then text = text .. ',"progress":' .. t.progress end
  if t.cancel then
    if t.status == 'in_progress' then text = text .. ',"cancelRequested":true' end
    text = text .. ',"cancellation":' .. t.cancel
  end
  return text
end
