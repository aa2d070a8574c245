--- @include "lib/log"
--- @include "lib/json"
--- @include "lib/queue"
--- @include "lib/queue_writes"
--- @include "lib/rolesets"
--- @include "lib/wakeups"
--- @lazy "lib/options"
-- created_task returns a task object as JSON text: a task as it was created, and more members, each
-- after a comma.
local function created_task(id, created_at, text, priority, metadata, status, more)
  return '{"id":"' .. id .. '","text":' .. quote(text) .. ',"status":"' .. status .. '","priority":' .. priority
    .. ',"assignedTo":null,"attempt":0,"metadata":' .. raw(metadata) .. ',"result":null,"error":null,"createdAt":"' .. created_at
    .. '","updatedAt":"' .. created_at .. '","completedAt":null' .. more .. '}'
end

-- create creates a task, puts it into its queue, and returns the task object with what task.create
-- adds, the task's id and its status. The object of a plain task is the payload of its event, without
-- the members that are alike in every new one: a second text would make a creation slower by some
-- percent, so commands/task adds them. The caller has checked the arguments, and that lib/rolesets
-- does not refuse the role set. runAt (ms) and options (JSON text) are nil for a task without them;
-- waits_for lists the unfinished tasks that it depends on. Emits task.created.
local function create(text, priority, metadata, roleset, creator, agent, run_at, options, waits_for)
  local id = 't-' .. int(seq + 1)
  local t = (run_at or options)
    and { id = id, priority = priority, roleset = roleset, runAt = run_at, options = options, open = waits_for and #waits_for or 0 }
  local status = t and rare().new_status(t) or 'pending'
  local object, n
  if t then
    n = emit('task.created', created_task(id, at, text, priority, metadata, status, rare().event_members(t)), nil, '2')
    object = created_task(id, at, text, priority, metadata, status, rare().answer_members(t))
  else
    object = created_task(id, at, text, priority, metadata, status, '')
    n = emit('task.created', object)
  end
  local key, position = prefix .. 'task:' .. id, score(priority, id)
  if metadata == '' then
    redis.call('HSET', key, 'id', id, 'text', text, 'status', status, 'priority', priority, 'attempt', '0',
      'createdAt', at, 'updatedAt', at, 'queuedAt', now_text, 'seq', n)
  else
    redis.call('HSET', key, 'id', id, 'text', text, 'status', status, 'priority', priority, 'attempt', '0',
      'createdAt', at, 'updatedAt', at, 'queuedAt', now_text, 'seq', n, 'metadata', metadata, 'roleset', roleset)
  end
  if creator ~= '' then redis.call('HSET', key, 'creator', creator) end
  enqueue(prefix .. 'queue:open', position, id)
  hold_roleset(roleset, agent)
  if t then
    rare().note_options(t, status, waits_for)
  else
    enqueue(waiting_queue(roleset), position, id)
    wake_workers(roleset)
  end
  return object, id, status
end
