--- @include "lib/log"
--- @include "lib/guard"
--- @include "lib/json"
--- @include "lib/conflict"
--- @include "lib/limits"
-- Sets or deletes a limit of concurrent tasks. The tasks of its key follow at once; of many, the first
-- ones, and fire_timers does the rest.
--
-- KEYS[1] log
-- ARGV[1] context     members of the event's envelope as JSON text: actor, cause, trace
-- ARGV[2] subject     key of the rate limit, method:actor
-- ARGV[3] calls       calls a minute, 0 for no limit; further lines hold other limits (lib/guard)
-- ARGV[4] key         limitKey of the tasks
-- ARGV[5] concurrent  how many of them may be pending or in progress at once, '' to delete the limit
-- ARGV[6] actor       who changes the limit, JSON text
-- Returns the method's result: {key, concurrent}, or {key, deleted}
-- Errors  RATE_LIMITED, CONFLICT (FLUSH_IN_PROGRESS, TOO_MANY_LIMITS)
-- Emits   limit.changed or limit.deleted, unless that changes nothing; task.unblocked, task.blocked,
--         task.unassigned
local subject, calls, key, concurrent, actor = ARGV[2], ARGV[3], ARGV[4], ARGV[5], ARGV[6]

local most_limits, most_turns = 1000, 50

local refused = open_log() or limit(subject, calls)
if refused then return refused end
local limits = prefix .. 'queue:limits'
local before = redis.call('HGET', limits, key)
local members = '{"key":' .. quote(key)
if concurrent == '' then
  if before then
    emit('limit.deleted', members .. ',"by":' .. actor .. '}')
    redis.call('HDEL', limits, key)
  end
  members = members .. ',"deleted":' .. tostring(before and true or false) .. '}'
else
  if not before and redis.call('HLEN', limits) >= most_limits then return conflict('TOO_MANY_LIMITS', '"limit":' .. most_limits) end
  members = members .. ',"concurrent":' .. concurrent
  if before ~= concurrent then
    emit('limit.changed', members .. ',"by":' .. actor .. '}')
    redis.call('HSET', limits, key, concurrent)
  end
  members = members .. '}'
end
redis.call('ZADD', prefix .. 'queue:relimits', 'inf', key)
apply_limits(most_turns)
return members
