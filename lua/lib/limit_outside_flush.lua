--- @include "lib/guard"
-- limit_outside_flush is the rate limit of what is answered behind a flush's fence as well, where
-- nothing may be written: a call is not counted then, and not refused.
local function limit_outside_flush(subject, calls)
  if redis.call('HEXISTS', KEYS[1], 'fence') == 1 then return nil end
  return limit(subject, calls)
end
