--- @include "lib/log"
--- @include "lib/guard"
--- @include "lib/json"
--- @include "lib/leader"
--- @include "lib/orphan"
--- @include "lib/failures"
--- @include "lib/fit"
--- @include "lib/settle"
-- Registers an instance, again or for the first time, and makes it leader when nobody is. The id of
-- an instance that was registered with another token is refused as long as that is there.
--
-- With the session that it had it resumes what it holds. With another, or none, it is a new
-- process: what the old one had claimed is set aside to go back to its assigned queue
-- (requeue_orphans). When it comes with fewer roles, what is assigned to it is set aside as well,
-- because it may not fit any more.
--
-- KEYS[1] log
-- ARGV[1] context   inside of the envelope: actor, cause, trace
-- ARGV[2] subject   method:actor of the rate limit
-- ARGV[3] calls     a minute and actor, 0 for no limit
-- ARGV[4] id        of the instance
-- ARGV[5] roles     JSON array
-- ARGV[6] worker    1 when worker is among the roles, else 0
-- ARGV[7] metadata  JSON text, or ''
-- ARGV[8] session   metadata.sessionId, or ''
-- ARGV[9] most      tasks that auto-assignment may have it hold
-- ARGV[10] ttl      of the registration, ms
-- ARGV[11] token    name of the caller's, which the instance belongs to then; '' where none is in use
-- Returns {ID of instance.registered, or '' when the id is another token's; 1 when tasks were set aside else 0}
-- Errors  RATE_LIMITED, CONFLICT (FLUSH_IN_PROGRESS)
-- Emits   instance.registered unless it is refused, leader.elected when it became leader
local subject, calls = ARGV[2], ARGV[3]
local id, roles, worker, metadata, session = ARGV[4], ARGV[5], ARGV[6], ARGV[7], ARGV[8]
local most, ttl, token = ARGV[9], tonumber(ARGV[10]), ARGV[11]

local refused = open_log() or limit(subject, calls)
if refused then return refused end

local previous_roles = redis.call('HGET', prefix .. 'health:roles', id)
local gossip = prefix .. 'health:gossip:' .. id
local owner = token ~= '' and previous_roles and redis.call('HGET', gossip, 'owner')
if owner and owner ~= token then return { '', 0 } end
local resumed = previous_roles and session ~= '' and session == redis.call('HGET', gossip, 'sessionId')
local lease_state, last_leader = lease(id)
local elected = lease_state == 'free'

emit('instance.registered', '{"id":' .. quote(id) .. ',"roles":' .. roles .. ',"becameLeader":' .. tostring(elected)
  .. ',"timestamp":' .. now_text .. ',"metadata":' .. raw(metadata) .. ',"sessionId":' .. quoted(session)
  .. ',"resumed":' .. tostring(resumed and true or false) .. ',"previousRoles":' .. raw(previous_roles) .. '}')
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

local key, seen = prefix .. 'instance:' .. id, int(clock)
redis.call('DEL', key)
redis.call('HSET', key, 'id', id, 'roles', roles, 'lastSeen', seen, 'lastHeartbeat', iso(clock), 'registeredAt', at,
  'maxTasks', most, 'worker', worker)
if metadata ~= '' then redis.call('HSET', key, 'metadata', metadata) end
redis.call('PEXPIRE', key, ttl)
redis.call('ZADD', prefix .. 'health:alive', seen, id)
redis.call('HSET', prefix .. 'health:roles', id, roles)
forget_failure(id)
if worker == '1' then
  redis.call('ZADD', prefix .. 'health:workers', seen, id)
else
  redis.call('ZREM', prefix .. 'health:workers', id)
end
-- Whose session it is belongs to the registration itself; the rest of its health follows.
if session ~= '' then
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
redis.call('PEXPIRE', gossip, 86400000)
if elected then
  elect(id, last_leader, ttl)
elseif lease_state == 'own' then
  hold_lease(id, last_leader, ttl)
end
settle(id)
redis.call('HSET', key, 'status', 'ACTIVE')
return { registered, set_aside }
