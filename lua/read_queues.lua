--- @include "lib/last_seq"
-- Reads a page of each of several sorted sets, all at the same moment, for claudebench verify,
-- which compares the reply with the log.
--- @readonly
--
-- KEYS[1] log
-- ARGV[1] length  of a page
-- ARGV[2…] two    values for each set: its key, and the score where the page begins, in the format
--                 of ZRANGEBYSCORE
-- Returns {seq of the last event; for each set its length and {member, score, …}}
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
