--- @include "lib/guard"
--- @include "lib/depart"
--- @include "lib/ownership"
-- Lets an instance go. What it had is set aside to go back to its places (requeue_orphans).
--
-- KEYS[1] log
-- ARGV[1] context   inside of the envelope: actor, cause, trace
-- ARGV[2] subject   method:actor of the rate limit
-- ARGV[3] calls     a minute and actor, 0 for no limit
-- ARGV[4] id        of the instance
-- ARGV[5] session   that it must have registered with, if it gave one; '' for any
-- ARGV[6] agent     name of an agent's token, '' for who may act for all
-- Returns {how many tasks were taken from it, ID of instance.unregistered or ''}
-- Errors  RATE_LIMITED, UNAUTHORIZED, CONFLICT (FLUSH_IN_PROGRESS)
-- Emits   instance.unregistered, unless it is not registered or has another session
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
