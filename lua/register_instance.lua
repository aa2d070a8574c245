--- @include "lib/log"
--- @include "lib/guard"
--- @include "lib/json"
--- @include "lib/leader"
--- @include "lib/orphan"
--- @include "lib/failures"
--- @include "lib/fit"
--- @include "lib/settle"
--- @include "lib/renewal"
--- @include "lib/wakeups"
--- @include "lib/session"
-- Registers an instance, for the first time or again. If there is no leader, the instance becomes
-- the leader. The registration is refused if another token has registered the same id and that
-- instance still exists.
--
-- With the session of its previous registration, an instance keeps its tasks. With another session
-- or none, it is a new process: the tasks that the old process had claimed move to an orphan queue,
-- and requeue_orphans puts them back into the instance's assigned queue. If the instance lacks a
-- role that it had, the tasks assigned to it move to an orphan queue too, because they may require
-- that role.
--
-- KEYS[1] log
-- ARGV[1] context   members of the event's envelope as JSON text: actor, cause, trace
-- ARGV[2] subject   key of the rate limit, method:actor
-- ARGV[3] calls     calls a minute, 0 for no limit; further lines hold other limits (lib/guard)
-- ARGV[4] id        of the instance
-- ARGV[5] roles     JSON array
-- ARGV[6] worker    1 if the roles include worker, else 0
-- ARGV[7] metadata  JSON text, or ''
-- ARGV[8] session   metadata.sessionId, or ''
-- ARGV[9] most      how many tasks auto-assignment lets it hold
-- ARGV[10] ttl      of registrations without a TTL of their own, ms
-- ARGV[11] token    name of the caller's token, to which the instance then belongs; '' if no tokens
--                   are in use
-- ARGV[12] own      TTL that the instance asks for, ms, or ''
-- Returns {ID of instance.registered, or '' if the id belongs to another token; 1 if tasks moved to
--         an orphan queue else 0}
-- Errors  RATE_LIMITED, CONFLICT (FLUSH_IN_PROGRESS)
-- Emits   instance.registered unless it is refused; leader.elected if the instance became the
--         leader
local subject, calls = ARGV[2], ARGV[3]
local id, roles, worker, metadata, session = ARGV[4], ARGV[5], ARGV[6], ARGV[7], ARGV[8]
local most, ttl, token, own = ARGV[9], tonumber(ARGV[10]), ARGV[11], ARGV[12]

local refused = open_log() or limit(subject, calls)
if refused then return refused end

local previous_roles = redis.call('HGET', prefix .. 'health:roles', id)
local gossip = prefix .. 'health:gossip:' .. id
local owner = token ~= '' and previous_roles and redis.call('HGET', gossip, 'owner')
if owner and owner ~= token then return { '', 0 } end
local previous_session = previous_roles and redis.call('HGET', gossip, 'sessionId')
local resumed = session ~= '' and session == previous_session
local lease_state, last_leader = lease(id)
local elected = lease_state == 'free'

emit('instance.registered', '{"id":' .. quote(id) .. ',"roles":' .. roles .. ',"becameLeader":' .. tostring(elected)
  .. ',"timestamp":' .. now_text .. ',"metadata":' .. raw(metadata) .. ',"sessionId":' .. quoted(session)
  .. ',"resumed":' .. tostring(resumed) .. ',"previousRoles":' .. raw(previous_roles) .. '}')
local registered = event_id
local set_aside = 0
if not resumed and orphan(id, 'active', 'session_changed') then set_aside = 1 end
local unfit = previous_roles and not fits(role_table(roles), previous_roles)
local orphans = unfit and orphan(id, 'instance', 'roles_changed')
if orphans then
  if redis.call('EXISTS', prefix .. 'queue:auto:' .. id) == 1 then
    redis.call('RENAME', prefix .. 'queue:auto:' .. id, orphans .. ':auto')
  end
  redis.call('ZREM', prefix .. 'queue:stealable', id)
  set_aside = 1
end

local key = prefix .. 'instance:' .. id
redis.call('DEL', key)
redis.call('HSET', key, 'id', id, 'roles', roles, 'registeredAt', at, 'maxTasks', most, 'worker', worker)
if metadata ~= '' then redis.call('HSET', key, 'metadata', metadata) end
if own ~= '' then redis.call('HSET', key, 'ttlMs', own) end
if resumed and redis.call('EXISTS', prefix .. 'queue:cancelling:' .. id) == 1 then redis.call('HSET', key, 'cancels', '1') end
renew(id, worker, tonumber(own) or ttl, ttl)
if worker ~= '1' then redis.call('ZREM', prefix .. 'health:workers', id) end
redis.call('HSET', prefix .. 'health:roles', id, roles)
forget_failure(id)
-- The registration itself must write the session and the owner. update_gossip_health writes the
-- rest of the instance's health later.
if not resumed then forget_session(previous_session, id) end
if session ~= '' then
  remember_session(session, id)
  redis.call('HSET', gossip, 'sessionId', session)
  redis.call('HSET', key, 'sessionId', session)
else
  redis.call('HDEL', gossip, 'sessionId')
end
if token ~= '' then
  redis.call('HSET', gossip, 'owner', token)
  redis.call('HSET', key, 'owner', token)
else
  redis.call('HDEL', gossip, 'owner')
end
if elected then
  elect(id, last_leader, ttl)
elseif lease_state == 'own' then
  hold_lease(id, last_leader, ttl)
end
settle(id)
redis.call('HSET', key, 'status', 'ACTIVE')
wake_instance(id)
return { registered, set_aside }
