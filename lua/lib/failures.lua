--- @include "lib/space"
--- @include "lib/clock"
-- The index of the instances that failed lately, by when. Whoever registers again leaves it, and
-- what is older than it is kept is dropped as others come, so it stays as short as the failures are
-- few.

local failures_kept = 300000 -- ms
local most_failures = 10000

local function note_failure(id)
  local key = prefix .. 'health:failed'
  redis.call('ZREMRANGEBYSCORE', key, '-inf', int(clock - failures_kept))
  redis.call('ZADD', key, int(clock), id)
  redis.call('ZREMRANGEBYRANK', key, 0, -most_failures - 1)
  redis.call('PEXPIRE', key, failures_kept)
end

local function forget_failure(id)
  redis.call('ZREM', prefix .. 'health:failed', id)
end

-- recent_failures counts the instances that failed less than five minutes ago and are not back.
local function recent_failures()
  return redis.call('ZCOUNT', prefix .. 'health:failed', '(' .. int(clock - failures_kept), '+inf')
end
