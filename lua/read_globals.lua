--- @include "lib/last_seq"
-- Reads what there is once in a namespace at one moment, to be compared with the log.
--- @readonly
--
-- KEYS[1] log
-- Returns {seq of the last event, {the log's seq, ms, base, term}, {ID of its first entry},
--         {the leader's id, term}, {set of roles, open tasks that ask for it, …}};
--         what is not there is nil
-- Errors  none
-- Emits   nothing
local stream = prefix .. 'stream:events'
local first = redis.call('XRANGE', stream, '-', '+', 'COUNT', 1)[1]
return {
  last_seq(),
  redis.call('HMGET', KEYS[1], 'seq', 'ms', 'base', 'term'),
  { first and first[1] or false },
  redis.call('HMGET', prefix .. 'health:leader', 'id', 'term'),
  redis.call('HGETALL', prefix .. 'queue:rolesets'),
}
