--- @include "lib/log"
--- @include "lib/guard"
--- @include "lib/schedules"
-- Deletes a schedule. Its tasks stay.
--
-- KEYS[1] log
-- ARGV[1] context  members of the event's envelope as JSON text: actor, cause, trace
-- ARGV[2] subject  key of the rate limit, method:actor
-- ARGV[3] calls    calls a minute, 0 for no limit; further lines hold other limits (lib/guard)
-- ARGV[4] id       of the schedule
-- ARGV[5] actor    who deletes it, JSON text
-- Returns the method's result: {id, deleted, deletedAt}
-- Errors  RATE_LIMITED, NOT_FOUND, CONFLICT (FLUSH_IN_PROGRESS)
-- Emits   schedule.deleted
local subject, calls, id, actor = ARGV[2], ARGV[3], ARGV[4], ARGV[5]

local refused = open_log() or limit(subject, calls)
if refused then return refused end
if not read_schedule(id) then return no_schedule(id) end

emit('schedule.deleted', '{"id":' .. quote(id) .. ',"deletedBy":' .. actor .. '}')
redis.call('UNLINK', prefix .. 'schedule:' .. id)
redis.call('ZREM', prefix .. 'schedules:ids', id)
redis.call('ZREM', prefix .. 'schedules:next', id)
return '{"id":' .. quote(id) .. ',"deleted":true,"deletedAt":"' .. at .. '"}'
