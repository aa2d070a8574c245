--- @include "lib/space"
--- @include "lib/json"
-- A task's hash, read into a table by field names, and the task object of the API made from it.

local task_fields = { 'id', 'text', 'status', 'priority', 'assignedTo', 'attempt', 'metadata', 'result', 'error',
  'createdAt', 'updatedAt', 'completedAt', 'roleset', 'queuedAt', 'claimedAt', 'assignedSeq', 'previousAssignment' }

-- read_task returns a task's fields (those that are not set are false), or nil when there is no such task.
local function read_task(id)
  local values = redis.call('HMGET', prefix .. 'task:' .. id, unpack(task_fields))
  if not values[1] then return nil end
  local task = {}
  for i, field in ipairs(task_fields) do task[field] = values[i] end
  return task
end

local function task_object(t)
  return '{"id":"' .. t.id .. '","text":' .. quote(t.text) .. ',"status":"' .. t.status .. '","priority":' .. t.priority
    .. ',"assignedTo":' .. quoted(t.assignedTo) .. ',"attempt":' .. t.attempt .. ',"metadata":' .. raw(t.metadata)
    .. ',"result":' .. raw(t.result) .. ',"error":' .. raw(t.error) .. ',"createdAt":"' .. t.createdAt
    .. '","updatedAt":"' .. t.updatedAt .. '","completedAt":' .. quoted(t.completedAt) .. '}'
end

local function no_task(id)
  return redis.error_reply('NOT_FOUND {"id":' .. quote(id) .. '}')
end
