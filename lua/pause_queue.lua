--- @include "lib/log"
--- @include "lib/guard"
--- @include "lib/json"
--- @include "lib/conflict"
--- @include "lib/pauses"
-- Pauses a queue: nothing is claimed or auto-assigned from it until it is resumed. A queue that is
-- paused already keeps its pause.
--
-- KEYS[1] log
-- ARGV[1] context  members of the event's envelope as JSON text: actor, cause, trace
-- ARGV[2] subject  key of the rate limit, method:actor
-- ARGV[3] calls    calls a minute, 0 for no limit; further lines hold other limits (lib/guard)
-- ARGV[4] queue    role set of its tasks, '' for tasks without roles, * for all queues
-- ARGV[5] reason   why, or ''
-- ARGV[6] actor    who pauses it
-- Returns the method's result: {changed, pauses}
-- Errors  RATE_LIMITED, CONFLICT (FLUSH_IN_PROGRESS, TOO_MANY_PAUSES)
-- Emits   queue.paused unless the queue is paused already
local subject, calls, queue, reason, actor = ARGV[2], ARGV[3], ARGV[4], ARGV[5], ARGV[6]

local most_pauses = 64

local refused = open_log() or limit(subject, calls)
if refused then return refused end
local key = prefix .. 'queue:paused'
local new = redis.call('HEXISTS', key, queue) == 0
if new and redis.call('HLEN', key) >= most_pauses then return conflict('TOO_MANY_PAUSES', '"limit":' .. most_pauses) end

if new then
  local members = '"reason":' .. quoted(reason) .. ',"by":' .. quote(actor)
  emit('queue.paused', '{"roles":' .. roles_of(queue) .. ',' .. members .. ',"pausedAt":"' .. at .. '"}')
  redis.call('HSET', key, queue, '{' .. members .. ',"at":"' .. at .. '"}')
  redis.call('HSET', KEYS[1], 'paused', '1')
end
return '{"changed":' .. tostring(new) .. ',"pauses":[' .. table.concat(list_pauses(), ',') .. ']}'
