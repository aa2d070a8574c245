--- @include "lib/space"
--- @include "lib/clock"
-- The rate limit: a sliding window of two counters for a method and an actor. The window before counts
-- for as much of it as the sliding minute still covers. A window begins with its first call.

local rate_window = 60000 -- ms
local counted           -- the counters of each subject, read once for a lot

-- limit counts a call and returns an error reply when it is one too many; limit 0 is none. Calls that
-- fail later count as well: the limit is there to stop loops.
local function limit(subject, calls)
  if calls == '0' then return nil end
  calls = tonumber(calls)
  local c = counted and counted[subject]
  if not c then
    local key = prefix .. 'ratelimit:' .. subject
    local stored = redis.call('HMGET', key, 'start', 'current', 'previous')
    c = { key = key, begun = stored[1], start = tonumber(stored[1] or clock), current = tonumber(stored[2] or 0),
      previous = tonumber(stored[3] or 0), calls = 0, elapsed = 0 }
    c.elapsed = clock - c.start
    if c.elapsed < 0 or c.elapsed >= 2 * rate_window then
      c.start, c.current, c.previous, c.elapsed, c.begun = clock, 0, 0, 0, false
    elseif c.elapsed >= rate_window then
      -- In lines of their own: the embedded Redis' Lua does not assign such a list at once.
      c.previous = c.current
      c.start, c.current, c.elapsed, c.begun = c.start + rate_window, 0, c.elapsed - rate_window, false
    end
    if counted then counted[subject] = c else counted = { [subject] = c } end
  end
  if c.previous * (1 - c.elapsed / rate_window) + c.current >= calls then
    local wait = (2 - calls / c.current) * rate_window - c.elapsed + 1
    if c.current < calls then
      wait = (1 - (calls - c.current) / c.previous) * rate_window - c.elapsed + 1
    end
    wait = math.min(math.max(math.ceil(wait), 1), rate_window)
    return redis.error_reply(string.format('RATE_LIMITED {"limit":%d,"windowMs":%d,"retryAfterMs":%d}', calls, rate_window, wait))
  end
  c.current, c.calls = c.current + 1, c.calls + 1
end

-- count_calls writes what was counted.
--- @closing count_calls
local function count_calls()
  if not counted then return end
  for _, c in pairs(counted) do
    if c.calls > 0 and c.begun then
      redis.call('HINCRBY', c.key, 'current', c.calls)
    elseif c.calls > 0 then
      redis.call('HSET', c.key, 'start', int(c.start), 'current', c.current, 'previous', c.previous)
      redis.call('PEXPIRE', c.key, 2 * rate_window)
    end
  end
end
