--- @include "lib/last_seq"
-- Reads the values that exist once in a namespace, all at the same moment, for claudebench verify,
-- which compares the reply with the log.
--- @readonly
--
-- KEYS[1] log
-- Returns {seq of the last event, {the log's seq, ms, base, term}, {ID of the log's first entry},
--         {the leader's id, term}, {role set, number of open tasks that require it, …}}; a missing
--         value is nil; then {paused queue, its pause, …}, {the log's field paused},
--         {unique key, task, …}, {limitKey, its limit, …}
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
  redis.call('HGETALL', prefix .. 'queue:paused'),
  redis.call('HMGET', KEYS[1], 'paused'),
  redis.call('HGETALL', prefix .. 'queue:unique'),
  redis.call('HGETALL', prefix .. 'queue:limits'),
}
