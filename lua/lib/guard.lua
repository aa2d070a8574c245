--- @include "lib/space"
--- @include "lib/clock"
-- The rate limit: a sliding window of two counters for a method and an actor. The window before counts
-- for as much of it as the sliding minute still covers. A window begins with its first call.

local rate_window = 60000 -- ms
local counted           -- the counters of each subject, read once for a lot

-- window returns the counters of a subject as they stand now.
local function window(subject)
  local c = counted and counted[subject]
  if c then return c end
  local key = prefix .. 'ratelimit:' .. subject
  local stored = redis.call('HMGET', key, 'start', 'current', 'previous')
  c = { key = key, begun = stored[1], start = tonumber(stored[1] or clock), current = tonumber(stored[2] or 0),
    previous = tonumber(stored[3] or 0), calls = 0, elapsed = 0 }
  c.elapsed = clock - c.start
  if c.elapsed < 0 or c.elapsed >= 2 * rate_window then
    c.start, c.current, c.previous, c.elapsed, c.begun = clock, 0, 0, 0, false
  elseif c.elapsed >= rate_window then
    c.previous = c.current
    c.start = c.start + rate_window
    c.current = 0
    c.elapsed = c.elapsed - rate_window
    c.begun = false
  end
  if counted then counted[subject] = c else counted = { [subject] = c } end
  return c
end

-- exceeded returns an error reply when one more call is too many; scope says whose calls they are, if not the actor's.
local function exceeded(c, calls, scope)
  if c.previous * (1 - c.elapsed / rate_window) + c.current < calls then return nil end
  local wait = (2 - calls / c.current) * rate_window - c.elapsed + 1
  if c.current < calls then
    wait = (1 - (calls - c.current) / c.previous) * rate_window - c.elapsed + 1
  end
  wait = math.min(math.max(math.ceil(wait), 1), rate_window)
  return redis.error_reply(string.format('RATE_LIMITED {"limit":%d,"windowMs":%d,"retryAfterMs":%d%s}', calls, rate_window, wait,
    scope or ''))
end

-- limit counts a call and returns an error reply when it is one too many, which is not counted. calls is the limit of the
-- subject, 0 for none. Of an instance of a token it is "calls all token": all is how many calls the token may make for
-- all its instances together, and token their subject. Scripts call limit before anything else may refuse the call,
-- since the limit is there to stop loops.
local function limit(subject, calls)
  if calls == '0' then return nil end
  local all, token
  if string.find(calls, ' ', 1, true) then calls, all, token = string.match(calls, '^(%d+) (%d+) (.*)$') end
  local of_subject = calls ~= '0' and window(subject)
  local of_token = token and window(token)
  local refused = of_subject and exceeded(of_subject, tonumber(calls))
    or of_token and exceeded(of_token, tonumber(all), ',"scope":"token"')
  if refused then return refused end
  if of_subject then of_subject.current, of_subject.calls = of_subject.current + 1, of_subject.calls + 1 end
  if of_token then of_token.current, of_token.calls = of_token.current + 1, of_token.calls + 1 end
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
