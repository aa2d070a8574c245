--- @include "lib/log"
--- @include "lib/json"
--- @include "lib/queue"
--- @include "lib/queue_writes"
--- @include "lib/rolesets"
--- @include "lib/wakeups"
-- created_object returns the task object of a task as it was created.
local function created_object(id, created_at, text, priority, metadata)
  return '{"id":"' .. id .. '","text":' .. quote(text) .. ',"status":"pending","priority":' .. priority
    .. ',"assignedTo":null,"attempt":0,"metadata":' .. raw(metadata) .. ',"result":null,"error":null,"createdAt":"' .. created_at
    .. '","updatedAt":"' .. created_at .. '","completedAt":null}'
end

-- create creates a task, puts it into its waiting queue, and returns the task object and the task's
-- id. The caller has checked the arguments, and that lib/rolesets does not refuse the role set.
-- Emits task.created.
local function create(text, priority, metadata, roleset, creator, agent)
  local id = 't-' .. int(seq + 1)
  local object = created_object(id, at, text, priority, metadata)
  local n = emit('task.created', object)
  local key, position = prefix .. 'task:' .. id, score(priority, id)
  if metadata == '' then
    redis.call('HSET', key, 'id', id, 'text', text, 'status', 'pending', 'priority', priority, 'attempt', '0',
      'createdAt', at, 'updatedAt', at, 'queuedAt', now_text, 'seq', n)
  else
    redis.call('HSET', key, 'id', id, 'text', text, 'status', 'pending', 'priority', priority, 'attempt', '0',
      'createdAt', at, 'updatedAt', at, 'queuedAt', now_text, 'seq', n, 'metadata', metadata, 'roleset', roleset)
  end
  if creator ~= '' then redis.call('HSET', key, 'creator', creator) end
  enqueue(waiting_queue(roleset), position, id)
  enqueue(prefix .. 'queue:open', position, id)
  hold_roleset(roleset, agent)
  wake_workers(roleset)
  return object, id
end
