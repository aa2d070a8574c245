--- @include "lib/space"
-- Removes the events before one from a topic. The last leader.elected stays, because the term is read
-- from it if the log's hash is lost (lib/log).
--
-- KEYS[1] log
-- ARGV[1] type   event type of the topic
-- ARGV[2] first  the log's first event
-- Returns the number of entries removed
-- Errors  none
-- Emits   nothing
local type, first = ARGV[1], ARGV[2]

local topic = prefix .. 'stream:' .. type
if type == 'leader.elected' then
  local last = redis.call('XREVRANGE', topic, '+', '-', 'COUNT', 1)[1]
  if not last then return 0 end
  local last_ms, last_seq = string.match(last[1], '^(%d+)-(%d+)$')
  local ms, seq = string.match(first, '^(%d+)-(%d+)$')
  if tonumber(last_ms) < tonumber(ms) or last_ms == ms and tonumber(last_seq) < tonumber(seq) then first = last[1] end
end
return redis.call('XTRIM', topic, 'MINID', '~', first)
