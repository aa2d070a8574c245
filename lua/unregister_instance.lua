--- @include "lib/guard"
--- @include "lib/depart"
--- @include "lib/ownership"
-- Unregisters an instance. Its queues become orphan queues, and requeue_orphans puts the tasks back
-- later.
--
-- KEYS[1] log
-- ARGV[1] context  members of the event's envelope as JSON text: actor, cause, trace
-- ARGV[2] subject  key of the rate limit, method:actor
-- ARGV[3] calls    calls a minute, 0 for no limit; further lines hold other limits (lib/guard)
-- ARGV[4] id       of the instance
-- ARGV[5] session  that the instance must have registered with, if it registered with one; '' for
--                  any
-- ARGV[6] agent    name of the calling agent's token, '' if the caller may act for all
-- Returns {number of tasks taken from it, ID of instance.unregistered or ''}
-- Errors  RATE_LIMITED, UNAUTHORIZED, CONFLICT (FLUSH_IN_PROGRESS)
-- Emits   instance.unregistered unless the instance is not registered or has another session
local subject, calls, id, session, agent = ARGV[2], ARGV[3], ARGV[4], ARGV[5], ARGV[6]

local refused = open_log() or limit(subject, calls)
if refused then return refused end
local roles = redis.call('HGET', prefix .. 'health:roles', id)
if not roles then return { 0, '' } end
refused = foreign_instance(agent, id)
if refused then return refused end
local registered = redis.call('HGET', prefix .. 'health:gossip:' .. id, 'sessionId')
if session ~= '' and registered and registered ~= session then return { 0, '' } end

local tasks = held(id)
emit('instance.unregistered', '{"id":' .. quote(id) .. ',"roles":' .. roles .. ',"sessionId":' .. quoted(registered)
  .. ',"tasksReassigned":' .. tasks .. ',"timestamp":' .. now_text .. '}')
depart(id, 'instance_unregistered')
return { tasks, event_id }
