--- @include "lib/last_seq"
-- Reads a page of each of some sorted sets at one moment, to be compared with the log.
--- @readonly
--
-- KEYS[1] log
-- ARGV[1] length of a page
-- ARGV[2…] two for each: its key, and where the page begins, as ZRANGEBYSCORE takes it
-- Returns {seq of the last event, for each its length and {member, score, …}}
-- Errors  none
-- Emits   nothing
local length = ARGV[1]

local reply = { last_seq() }
for i = 2, #ARGV, 2 do
  local key, from = ARGV[i], ARGV[i + 1]
  reply[#reply + 1] = redis.call('ZCARD', key)
  reply[#reply + 1] = redis.call('ZRANGEBYSCORE', key, from, '+inf', 'WITHSCORES', 'LIMIT', 0, length)
end
return reply
