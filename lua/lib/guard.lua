--- @include "lib/space"
--- @include "lib/clock"
-- The rate limit: a sliding window of two counters for a method and an actor. The window before counts
-- for as much of it as the sliding minute still covers. A window begins with its first call.

local rate_window = 60000 -- ms

-- limit counts a call and returns an error reply when it is one too many; limit 0 is none. Calls that
-- fail later count as well: the limit is there to stop loops.
local function limit(subject, calls)
  calls = tonumber(calls)
  if calls == 0 then return nil end
  local key = prefix .. 'ratelimit:' .. subject
  local counters = redis.call('HMGET', key, 'start', 'current', 'previous')
  local start = tonumber(counters[1] or clock)
  local current = tonumber(counters[2] or 0)
  local previous = tonumber(counters[3] or 0)
  local elapsed = clock - start
  local begun = counters[1]
  if elapsed < 0 or elapsed >= 2 * rate_window then
    start, current, previous, elapsed, begun = clock, 0, 0, 0, false
  elseif elapsed >= rate_window then
    -- In lines of their own: the embedded Redis' Lua does not assign such a list at once.
    previous = current
    start, current, elapsed, begun = start + rate_window, 0, elapsed - rate_window, false
  end
  if previous * (1 - elapsed / rate_window) + current >= calls then
    local wait = rate_window - elapsed
    if current < calls then
      wait = (1 - (calls - current) / previous) * rate_window - elapsed + 1
    end
    wait = math.min(math.max(math.ceil(wait), 1), rate_window)
    return redis.error_reply(string.format('RATE_LIMITED {"limit":%d,"windowMs":%d,"retryAfterMs":%d}', calls, rate_window, wait))
  end
  if begun then
    redis.call('HINCRBY', key, 'current', 1)
  else
    redis.call('HSET', key, 'start', int(start), 'current', current + 1, 'previous', previous)
    redis.call('PEXPIRE', key, 2 * rate_window)
  end
end
