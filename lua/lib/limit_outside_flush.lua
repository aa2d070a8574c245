--- @include "lib/guard"
-- limit_outside_flush is limit for methods that also work behind the fence of a flush. Behind the
-- fence nothing may be written, so a call is neither counted nor refused.
local function limit_outside_flush(subject, calls)
  if redis.call('HEXISTS', KEYS[1], 'fence') == 1 then return nil end
  return limit(subject, calls)
end
