--- @include "lib/space"
--- @include "lib/clock"
-- The index of the instances that failed recently, by the time of failure. An instance that
-- registers again is removed. Each new failure removes the entries that are older than
-- failures_kept, which keeps the index short.

local failures_kept = 300000 -- ms
local most_failures = 10000

-- note_failure adds an instance.
local function note_failure(id)
  local key = prefix .. 'health:failed'
  redis.call('ZREMRANGEBYSCORE', key, '-inf', int(clock - failures_kept))
  redis.call('ZADD', key, int(clock), id)
  redis.call('ZREMRANGEBYRANK', key, 0, -most_failures - 1)
  redis.call('PEXPIRE', key, failures_kept)
end

-- forget_failure removes an instance.
local function forget_failure(id)
  redis.call('ZREM', prefix .. 'health:failed', id)
end

-- recent_failures counts the instances that failed in the last five minutes and have not registered
-- again.
local function recent_failures()
  return redis.call('ZCOUNT', prefix .. 'health:failed', '(' .. int(clock - failures_kept), '+inf')
end
