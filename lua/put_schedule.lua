--- @include "lib/log"
--- @include "lib/guard"
--- @include "lib/conflict"
--- @include "lib/schedules"
-- Makes a schedule, or replaces the one with its id. A schedule that has the same expression and time
-- zone as before, and is not paused, keeps its next tick.
--
-- KEYS[1] log
-- ARGV[1] context   members of the event's envelope as JSON text: actor, cause, trace
-- ARGV[2] subject   key of the rate limit, method:actor
-- ARGV[3] calls     calls a minute, 0 for no limit; further lines hold other limits (lib/guard)
-- ARGV[4] id        of the schedule
-- ARGV[5] cron      expression, which the caller has checked
-- ARGV[6] timezone  name in the IANA database, which the caller has checked
-- ARGV[7] catchup   none, one or all
-- ARGV[8] paused    1 if the schedule has no ticks for now, else 0
-- ARGV[9] next      first tick after the call, ms
-- ARGV[10] text     of the tasks; this and the following are arguments of create (lib/create)
-- ARGV[11] priority
-- ARGV[12] metadata  JSON text, or ''
-- ARGV[13] roleset  role set of the tasks as a sorted JSON array, or ''
-- ARGV[14] creator  name of the caller's token, or ''
-- ARGV[15] runat    when a task becomes claimable, ms since 1970; '' for at once
-- ARGV[16] delay    how long after its creation a task becomes claimable, ms, instead of runat; '' for
--                   none
-- ARGV[17] options  JSON object with all defaults (lib/extras), '' for tasks without options
-- Returns the method's result: {created, schedule}
-- Errors  RATE_LIMITED, CONFLICT (FLUSH_IN_PROGRESS, TOO_MANY_SCHEDULES)
-- Emits   schedule.changed
local subject, calls = ARGV[2], ARGV[3]
local id, cron, timezone, catchup, paused, next = ARGV[4], ARGV[5], ARGV[6], ARGV[7], ARGV[8], ARGV[9]
local text, priority, metadata, roleset, creator = ARGV[10], ARGV[11], ARGV[12], ARGV[13], ARGV[14]
local runat, delay, options = ARGV[15], ARGV[16], ARGV[17]

local most_schedules = 10000

local refused = open_log() or limit(subject, calls)
if refused then return refused end
local ids = prefix .. 'schedules:ids'
local before = read_schedule(id)
if not before and redis.call('ZCARD', ids) >= most_schedules then
  return conflict('TOO_MANY_SCHEDULES', '"limit":' .. most_schedules)
end

if before and before.next and before.cron == cron and before.timezone == timezone then next = before.next end
if paused == '1' then next = false end
local s = before or { fired = '0', createdAt = at }
s.id, s.cron, s.timezone, s.catchUp, s.paused, s.next = id, cron, timezone, catchup, paused == '1', next
s.text, s.priority, s.metadata, s.roleset, s.creator, s.updatedAt = text, priority, metadata, roleset, creator, at
s.at, s.delay, s.options = runat, delay, options

local n = emit('schedule.changed', schedule_members(s) .. ',"created":' .. tostring(not before) .. ',"nextTick":' .. moment(next) .. '}')
local key = prefix .. 'schedule:' .. id
redis.call('HSET', key, 'id', id, 'cron', cron, 'timezone', timezone, 'catchUp', catchup, 'paused', paused, 'text', text,
  'priority', priority, 'metadata', metadata, 'roleset', roleset, 'creator', creator, 'at', runat, 'delay', delay,
  'options', options, 'createdAt', s.createdAt, 'updatedAt', at, 'version', n, 'seq', n)
if next then
  redis.call('HSET', key, 'next', next)
  redis.call('ZADD', prefix .. 'schedules:next', next, id)
else
  redis.call('HDEL', key, 'next')
  redis.call('ZREM', prefix .. 'schedules:next', id)
end
redis.call('ZADD', ids, '0', id)
return '{"created":' .. tostring(not before) .. ',"schedule":' .. schedule_object(s) .. '}'
