--- @include "lib/guard"
--- @include "lib/answer"
--- @include "lib/fence"
-- Finds an event by its seq. The ID of an event's entry is the time and the seq, and both rise, so
-- the script halves the span of time in which the event must be. It writes nothing but the rate
-- limit's counters.
--- @readonly
--
-- KEYS[1] log
-- ARGV[1] context  not used
-- ARGV[2] subject  key of the rate limit, method:actor
-- ARGV[3] calls    calls a minute, 0 for no limit; further lines hold other limits (lib/guard)
-- ARGV[4] seq      of the event
-- Returns the envelope as stored in the log
-- Errors  RATE_LIMITED, NOT_FOUND {seq}, CONFLICT (FLUSH_IN_PROGRESS)
-- Emits   nothing
local subject, calls, seq = ARGV[2], ARGV[3], ARGV[4]

local log, wanted = prefix .. 'stream:events', tonumber(seq)
local refused = fenced() or limit(subject, calls)
if refused then return refused end

-- position returns the two numbers of an entry's ID.
local function position(entry)
  local ms, n = entry[1]:match('^(%d+)-(%d+)$')
  return tonumber(ms), tonumber(n)
end

local first, last = redis.call('XRANGE', log, '-', '+', 'COUNT', 1)[1], redis.call('XREVRANGE', log, '+', '-', 'COUNT', 1)[1]
if first then
  local low, high = position(first), position(last)
  while low <= high do
    local middle = math.floor((low + high) / 2)
    local entry = redis.call('XRANGE', log, int(middle), '+', 'COUNT', 1)[1]
    local ms, n = position(entry)
    if n > wanted or ms > high then
      high = middle - 1
    else
      local at = int(ms) .. '-' .. seq
      local found = redis.call('XRANGE', log, at, at)[1]
      if found then return counted_answer(calls, found[2][2]) end
      low = ms + 1
    end
  end
end
return redis.error_reply('NOT_FOUND {"seq":' .. seq .. '}')
