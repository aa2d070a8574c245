--- @include "lib/guard"
--- @include "lib/answer"
--- @lazy "lib/extras"
--- @include "lib/task"
--- @include "lib/fence"
-- Reads a task. It writes nothing but the rate limit's counters.
--- @readonly
--- @lot 16
--
-- KEYS[1] log
-- ARGV[1] context      not used
-- ARGV[2] subject      key of the rate limit, method:actor
-- ARGV[3] calls        calls a minute, 0 for no limit; further lines hold other limits (lib/guard)
-- ARGV[4] id           of the task
-- ARGV[5] dependencies 1 to add what came of the tasks that it depends on, else 0
-- Returns the task object
-- Errors  RATE_LIMITED, NOT_FOUND, CONFLICT (FLUSH_IN_PROGRESS)
-- Emits   nothing
local subject, calls, id, dependencies = ARGV[2], ARGV[3], ARGV[4], ARGV[5]

-- The results and errors of the dependencies together may have so many bytes; further ones are left out.
local most_bytes = 1048576

local refused = fenced() or limit(subject, calls)
if refused then return refused end
local t = read_task(id)
if not t then return no_task(id) end
local object = task_object(t)
if dependencies == '0' then return counted_answer(calls, object) end
local list, bytes = {}, 0
for i, needed in ipairs(rare().option(t, 'dependsOn') or {}) do
  local key = prefix .. 'task:' .. needed
  local more = redis.call('HSTRLEN', key, 'result') + redis.call('HSTRLEN', key, 'error')
  local d, fits = { false, false }, bytes + more <= most_bytes
  if fits then
    d, bytes = redis.call('HMGET', key, 'result', 'error'), bytes + more
  end
  list[i] = '{"id":"' .. needed .. '","status":' .. quoted(redis.call('HGET', key, 'status')) .. ',"result":' .. raw(d[1])
    .. ',"error":' .. raw(d[2]) .. (fits and '}' or ',"truncated":true}')
end
return counted_answer(calls, string.sub(object, 1, -2) .. ',"dependencies":[' .. table.concat(list, ',') .. ']}')
