--- @include "lib/log"
--- @include "lib/extras"
--- @include "lib/turns"
--- @include "lib/due"
-- new_status returns the status that a task with options has after its creation. t is a table of
-- read_task with runAt, options and open.
local function new_status(t)
  if t.runAt and tonumber(t.runAt) > clock then return 'scheduled' end
  return ready_status(t)
end

-- event_members returns the members of task.created that only a task with options has, each after a
-- comma. t is a table of read_task.
local function event_members(t)
  return (t.runAt and ',"runAt":"' .. iso(tonumber(t.runAt)) .. '"' or '') .. (t.options and ',' .. string.sub(t.options, 2, -2) or '')
end

-- answer_members returns the members that the answer of task.create has in their place.
local function answer_members(t)
  return extras_members(t) .. ',"created":true'
end

-- note_options stores what only some tasks have, and enters a created task into its queue.
local function note_options(t, status, waits_for)
  local key = prefix .. 'task:' .. t.id
  redis.call('HSET', key, 'extras', '1')
  if t.runAt then redis.call('HSET', key, 'runAt', t.runAt) end
  if t.options then redis.call('HSET', key, 'options', t.options) end
  local unique = option(t, 'uniqueKey')
  if unique then redis.call('HSET', prefix .. 'queue:unique', unique, t.id) end
  if t.open > 0 then
    redis.call('HSET', key, 'open', int(t.open))
    for _, id in ipairs(waits_for) do
      redis.call('HSET', prefix .. 'task:' .. id, 'extras', '1')
      redis.call('ZADD', prefix .. 'queue:dependents:' .. id, string.sub(t.id, 3), t.id)
    end
  end
  if status == 'scheduled' then schedule(t.id, t.runAt) else enter(t, status) end
end
