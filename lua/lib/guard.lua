--- @include "lib/space"
--- @include "lib/clock"
-- The rate limits: a sliding window of two counters for a method and an actor, and for whatever
-- else is limited. The window before counts for as much of it as the sliding minute still covers. A
-- window begins with its first call.

local rate_window = 60000 -- ms
local counted           -- the counters of each subject, read once for a lot

-- window returns the counters of a subject as they stand now.
local function window(subject)
  local c = counted and counted[subject]
  if c then return c end
  local key = prefix .. 'ratelimit:' .. subject
  local stored = redis.call('HMGET', key, 'start', 'current', 'previous')
  c = { key = key, begun = stored[1], start = tonumber(stored[1] or clock), current = tonumber(stored[2] or 0),
    previous = tonumber(stored[3] or 0), counted = 0, elapsed = 0 }
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

-- exceeded returns an error reply when a limit is reached; scope says which, if not that of the
-- actor's calls.
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

local function count(c, cost)
  c.current, c.counted = c.current + cost, c.counted + cost
end

-- limit counts a call and returns an error reply when it is one too many, which is not counted.
-- calls is the limit of the subject, 0 for none, and a line for each further limit that the call
-- counts for: its limit, by how much the call counts, its scope and its subject. What came before
-- must be below a limit, not this call with it, so that a call of any size passes some time.
-- Scripts call limit before anything else may refuse the call, since the limit is there to stop
-- loops.
local function limit(subject, calls)
  if calls == '0' then return nil end
  local own, further = calls, ''
  if string.find(calls, '\n', 1, true) then own, further = string.match(calls, '^(%d+)(.*)$') end
  local mine = own ~= '0' and window(subject)
  local refused = mine and exceeded(mine, tonumber(own))
  if refused then return refused end
  local others = {}
  for most, cost, scope, of in string.gmatch(further, '\n(%d+) (%d+) (%l+) ([^\n]+)') do
    local c = window(of)
    refused = exceeded(c, tonumber(most), ',"scope":"' .. scope .. '"')
    if refused then return refused end
    others[#others + 1] = { c, tonumber(cost) }
  end
  if mine then count(mine, 1) end
  for _, other in ipairs(others) do count(other[1], other[2]) end
end

-- count_calls writes what was counted.
--- @closing count_calls
local function count_calls()
  if not counted then return end
  for _, c in pairs(counted) do
    if c.counted > 0 and c.begun then
      redis.call('HINCRBY', c.key, 'current', int(c.counted))
    elseif c.counted > 0 then
      redis.call('HSET', c.key, 'start', int(c.start), 'current', int(c.current), 'previous', int(c.previous))
      redis.call('PEXPIRE', c.key, 2 * rate_window)
    end
  end
end
