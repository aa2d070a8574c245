--- @include "lib/space"
--- @include "lib/json"
--- @lazy "lib/extras"
--- @include "lib/no_extras"
-- Reads a task's hash into a table and builds the API's task object from it.

-- read_task returns a task's fields by name, or nil if the task does not exist. Fields that are not
-- set are false.
local function read_task(id)
  local t = redis.call('HMGET', prefix .. 'task:' .. id, 'id', 'text', 'status', 'priority', 'assignedTo', 'attempt',
    'metadata', 'result', 'error', 'createdAt', 'updatedAt', 'completedAt', 'roleset', 'queuedAt', 'claimedAt',
    'assignedSeq', 'previousAssignment', 'extras')
  if not t[1] then return nil end
  local task = { id = t[1], text = t[2], status = t[3], priority = t[4], assignedTo = t[5], attempt = t[6],
    metadata = t[7], result = t[8], error = t[9], createdAt = t[10], updatedAt = t[11], completedAt = t[12],
    roleset = t[13], queuedAt = t[14], claimedAt = t[15], assignedSeq = t[16], previousAssignment = t[17], extras = t[18] }
  if task.extras then rare().read_extras(task) end
  return task
end

-- task_object returns the task object of a table of read_task.
local function task_object(t)
  return '{"id":"' .. t.id .. '","text":' .. quote(t.text) .. ',"status":"' .. t.status .. '","priority":' .. t.priority
    .. ',"assignedTo":' .. (t.assignedTo and quote_name(t.assignedTo) or 'null') .. ',"attempt":' .. t.attempt .. ',"metadata":' .. raw(t.metadata)
    .. ',"result":' .. raw(t.result) .. ',"error":' .. raw(t.error) .. ',"createdAt":"' .. t.createdAt
    .. '","updatedAt":"' .. t.updatedAt .. '","completedAt":' .. quoted(t.completedAt) .. (t.extras and rare().extras_members(t) or no_extras) .. '}'
end

-- no_task returns the error reply for an id that does not exist.
local function no_task(id)
  return redis.error_reply('NOT_FOUND {"id":' .. quote(id) .. '}')
end
