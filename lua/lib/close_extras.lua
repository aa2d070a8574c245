--- @include "lib/extras"
--- @include "lib/deadlines"
--- @include "lib/turns"
--- @include "lib/dependents"
-- close_extras ends what only some tasks have.
local function close_extras(t, outcome, context)
  unwatch(t)
  end_dependency(t, outcome, context)
  local unique = option(t, 'uniqueKey')
  if unique and redis.call('HGET', prefix .. 'queue:unique', unique) == t.id then redis.call('HDEL', prefix .. 'queue:unique', unique) end
  if tonumber(t.open or 0) > 0 then
    redis.call('ZREM', prefix .. 'queue:blocked', t.id) -- a coordinator of an earlier version may have assigned it
    for _, needed in ipairs(option(t, 'dependsOn')) do redis.call('ZREM', prefix .. 'queue:dependents:' .. needed, t.id) end
  end
  leave_limit(t, context)
end
