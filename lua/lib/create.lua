--- @include "lib/log"
--- @include "lib/json"
--- @include "lib/queue"
--- @include "lib/queue_writes"
--- @include "lib/rolesets"
--- @include "lib/wakeups"
--- @include "lib/no_extras"
--- @lazy "lib/extras"
--- @lazy "lib/options"
-- created_members returns the members of a task as it was created, without the closing brace.
local function created_members(id, created_at, text, priority, metadata, status)
  return '{"id":"' .. id .. '","text":' .. quote(text) .. ',"status":"' .. status .. '","priority":' .. priority
    .. ',"assignedTo":null,"attempt":0,"metadata":' .. raw(metadata) .. ',"result":null,"error":null,"createdAt":"' .. created_at
    .. '","updatedAt":"' .. created_at .. '","completedAt":null'
end

-- created_object returns the answer of task.create. runAt (ms) and options (JSON text) are nil for a
-- task without them.
local function created_object(members, run_at, options)
  local extras = (run_at or options) and rare().extras_members({ runAt = run_at, options = options }) or no_extras
  return members .. extras .. ',"created":true}'
end

-- create creates a task, puts it into its queue, and returns the answer of task.create, the task's
-- id and its status. The caller has checked the arguments, and that lib/rolesets does not refuse the
-- role set. runAt (ms) and options (JSON text) are nil for a task without them; waits_for lists the
-- unfinished tasks that it depends on. Emits task.created.
local function create(text, priority, metadata, roleset, creator, agent, run_at, options, waits_for)
  local id = 't-' .. int(seq + 1)
  local t = (run_at or options)
    and { id = id, priority = priority, roleset = roleset, runAt = run_at, options = options, open = waits_for and #waits_for or 0 }
  local status = t and rare().new_status(t) or 'pending'
  local members = created_members(id, at, text, priority, metadata, status)
  local n
  if t then
    n = emit('task.created', members .. (run_at and ',"runAt":"' .. iso(tonumber(run_at)) .. '"' or '')
      .. (options and ',' .. string.sub(options, 2, -2) or '') .. '}', nil, '2')
  else
    n = emit('task.created', members .. '}')
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
  return created_object(members, run_at, options), id, status
end
