--- @include "lib/verification"
--- @include "lib/limit_outside_flush"
--- @include "lib/last_seq"
-- Reads what the log holds, and the verification that runs or was the last. The cost does not depend
-- on the length of the log. The script works behind the fence of a flush too. It writes nothing but
-- the rate limit's counters.
--- @readonly
--
-- KEYS[1] log
-- ARGV[1] context  not used
-- ARGV[2] subject  key of the rate limit, method:actor
-- ARGV[3] calls    calls a minute, 0 for no limit; further lines hold other limits (lib/guard)
-- Returns JSON: {clock: ms, seq: of the last event, base: seq of the first event that the log should
--         hold, identity, events: number of entries in the log, first and last: their IDs, flushed:
--         whether the first one is system.flushed, verification: the fields of lib/verification}.
--         Numbers are strings, except events. A member without a value is left out
-- Errors  RATE_LIMITED
-- Emits   nothing
local subject, calls = ARGV[2], ARGV[3]

local refused = limit_outside_flush(subject, calls)
if refused then return refused end
local stream, log = prefix .. 'stream:events', redis.call('HMGET', KEYS[1], 'base', 'identity')
local first = redis.call('XRANGE', stream, '-', '+', 'COUNT', 1)[1]
local last = redis.call('XREVRANGE', stream, '+', '-', 'COUNT', 1)[1]
return cjson.encode({
  clock = int(clock),
  seq = last_seq(),
  base = log[1] or nil,
  identity = log[2] or nil,
  events = redis.call('XLEN', stream),
  first = first and first[1] or nil,
  last = last and last[1] or nil,
  flushed = first and string.find(first[2][2] or '', '^{"id":"[%d-]*","seq":%d*,"type":"system%.flushed"') ~= nil,
  verification = read_verification(),
})
