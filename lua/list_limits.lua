--- @include "lib/guard"
--- @include "lib/json"
--- @include "lib/fence"
-- Lists the limits of concurrent tasks. It writes nothing but the rate limit's counters.
--- @readonly
--
-- KEYS[1] log
-- ARGV[1] context  not used
-- ARGV[2] subject  key of the rate limit, method:actor
-- ARGV[3] calls    calls a minute, 0 for no limit; further lines hold other limits (lib/guard)
-- Returns the method's result: {limits: [{key, concurrent, running, waiting}]}, in the order of keys
-- Errors  RATE_LIMITED, CONFLICT (FLUSH_IN_PROGRESS)
-- Emits   nothing
local subject, calls = ARGV[2], ARGV[3]

local refused = fenced() or limit(subject, calls)
if refused then return refused end
local stored, keys, found = redis.call('HGETALL', prefix .. 'queue:limits'), {}, {}
for i = 1, #stored, 2 do
  keys[#keys + 1] = stored[i]
  found[stored[i]] = stored[i + 1]
end
table.sort(keys)
local list = {}
for i, key in ipairs(keys) do
  list[i] = '{"key":' .. quote(key) .. ',"concurrent":' .. found[key] .. ',"running":' .. redis.call('ZCARD', prefix .. 'queue:limited:' .. key)
    .. ',"waiting":' .. redis.call('ZCARD', prefix .. 'queue:turns:' .. key) .. '}'
end
return '{"limits":[' .. table.concat(list, ',') .. ']}'
