--- @include "lib/log"
--- @include "lib/json"
--- @include "lib/extras"
-- Tasks that depend on others. queue:dependents:<id> holds those that wait for a task. When that task
-- ends, the queue becomes queue:settling:<seq>:<id> in one step, however long it is, and an entry of
-- queue:settling says what came of the task. settle_dependents does the rest, in bounded steps.

-- end_dependency hands over the tasks that wait for a task. outcome is completed, failed, cancelled or
-- deleted. context is that of the event, nil for the caller's.
local function end_dependency(t, outcome, context)
  local dependents = prefix .. 'queue:dependents:' .. t.id
  if redis.call('EXISTS', dependents) == 0 then return end
  local name = int(seq) .. ':' .. t.id
  redis.call('RENAME', dependents, prefix .. 'queue:settling:' .. name)
  local actor, trace = string.match((context or ARGV[1]) .. ',', '^("actor":.-),"cause":.*,("trace":.*),$')
  redis.call('ZADD', prefix .. 'queue:settling', seq, '{"task":"' .. t.id .. '","outcome":"' .. outcome .. '","queue":"' .. name
    .. '","context":' .. quote(actor .. ',"cause":"' .. event_id .. '",' .. trace) .. '}')
end
