--- @include "lib/guard"
--- @include "lib/answer"
--- @include "lib/schedules"
--- @include "lib/fence"
-- Lists a page of schedules in the order of the bytes of their ids. A page ends early when it has
-- about 1 MiB. The script writes nothing but the rate limit's counters.
--- @readonly
--
-- KEYS[1] log
-- ARGV[1] context  not used
-- ARGV[2] subject  key of the rate limit, method:actor
-- ARGV[3] calls    calls a minute, 0 for no limit; further lines hold other limits (lib/guard)
-- ARGV[4] after    id of the last schedule of the page before, '' for the first page
-- ARGV[5] most     maximum number of schedules
-- Returns the method's result: {schedules, total, nextCursor}
-- Errors  RATE_LIMITED, CONFLICT (FLUSH_IN_PROGRESS)
-- Emits   nothing
local subject, calls, after, most = ARGV[2], ARGV[3], ARGV[4], tonumber(ARGV[5])

local most_bytes = 1048576

local refused = fenced() or limit(subject, calls)
if refused then return refused end
local ids = prefix .. 'schedules:ids'
local found = redis.call('ZRANGEBYLEX', ids, after == '' and '-' or '(' .. after, '+', 'LIMIT', 0, most + 1)
local list, bytes, cursor = {}, 0, nil
for i, id in ipairs(found) do
  if i > most or bytes > most_bytes then
    cursor = found[i - 1]
    break
  end
  local s = read_schedule(id)
  if s then
    list[#list + 1] = schedule_object(s)
    bytes = bytes + #list[#list]
  end
end
return counted_answer(calls, '{"schedules":[' .. table.concat(list, ',') .. '],"total":' .. redis.call('ZCARD', ids)
  .. (cursor and ',"nextCursor":' .. quote(cursor) or '') .. '}')
