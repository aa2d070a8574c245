--- @include "lib/space"
--- @include "lib/clock"
-- Rate limits with a sliding window. A subject, such as a method and an actor, has two counters: of
-- the current minute and of the previous one. The previous counter counts in proportion to the part
-- of that minute that the sliding window still covers. The first call, and the first call after a
-- pause, starts a new minute.

local rate_window = 60000 -- ms
local windows           -- the counters of each subject, read once in an EVALSHA

-- window returns the current counters of a subject. Their field counted is what this EVALSHA adds.
-- begun is false if Redis does not hold the current minute yet.
local function window(subject)
  local c = windows and windows[subject]
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
  if windows then windows[subject] = c else windows = { [subject] = c } end
  return c
end

-- exceeded returns an error reply if the limit calls is reached. scope is the JSON member that
-- names the limit, or nil for the limit of the subject of the call itself.
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

-- count adds the cost of a call to the current counter.
local function count(c, cost)
  c.current, c.counted = c.current + cost, c.counted + cost
end

-- limit counts a call. If a limit is reached, it returns an error reply and counts nothing.
--
-- The first line of calls is the limit of the subject, or 0 for none. Each further line is another
-- limit: the limit itself, the cost of the call, the scope and the subject. A limit is compared
-- with the calls before this one, without the cost of this one. Otherwise a call that costs more
-- than the limit could never pass.
--
-- A script calls limit before all other checks except the fence of a flush, because the limit must
-- also stop loops of calls that fail.
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

-- count_calls writes the counters.
--- @closing count_calls
local function count_calls()
  if not windows then return end
  for _, c in pairs(windows) do
    if c.counted > 0 and c.begun then
      redis.call('HINCRBY', c.key, 'current', int(c.counted))
    elseif c.counted > 0 then
      redis.call('HSET', c.key, 'start', int(c.start), 'current', int(c.current), 'previous', int(c.previous))
      redis.call('PEXPIRE', c.key, 2 * rate_window)
    end
  end
end
