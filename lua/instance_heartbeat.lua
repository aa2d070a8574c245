--- @include "lib/log"
--- @include "lib/guard"
--- @include "lib/leader"
--- @include "lib/ownership"
--- @include "lib/renewal"
-- Renews an instance's registration. If the instance is the leader, it also renews the leader's
-- lease; if nobody is, the instance becomes the leader. Behind the fence of a flush the script
-- renews nothing, and returns alive: true for every instance.
--- @lot 16
--
-- KEYS[1] log
-- ARGV[1] context  members of the event's envelope as JSON text: actor, cause, trace
-- ARGV[2] subject  key of the rate limit, method:actor
-- ARGV[3] calls    calls a minute, 0 for no limit; further lines hold other limits (lib/guard)
-- ARGV[4] id       of the instance
-- ARGV[5] ttl      of registrations without a TTL of their own, ms
-- ARGV[6] agent    name of the calling agent's token, '' if the caller may act for all
-- Returns the method's result: {alive, isLeader?, term?, cancel?}
-- Errors  RATE_LIMITED, UNAUTHORIZED
-- Emits   leader.elected if the instance became the leader
local subject, calls, id, ttl, agent = ARGV[2], ARGV[3], ARGV[4], tonumber(ARGV[5]), ARGV[6]

local most_cancels = 100

if not log_opened() then
  local leader = redis.call('HMGET', prefix .. 'health:leader', 'id', 'term')
  if leader[1] ~= id then return '{"alive":true}' end
  return '{"alive":true,"isLeader":true,"term":' .. leader[2] .. '}'
end
local refused = limit(subject, calls)
if refused then return refused end
local key = prefix .. 'instance:' .. id
local worker, own, cancels = unpack(redis.call('HMGET', key, 'worker', 'ttlMs', 'cancels'))
if not worker then return '{"alive":false}' end
refused = foreign_instance(agent, id)
if refused then return refused end

local state, term = lease(id)
if state == 'free' then
  term = elect(id, term, ttl)
  redis.call('HSET', key, 'seq', int(seq))
elseif state == 'own' then
  hold_lease(id, term, ttl)
end
renew(id, worker, tonumber(own or ttl), ttl)
local members = '"alive":true'
if state ~= 'other' then members = members .. ',"isLeader":true,"term":' .. term end
if cancels then
  local ids = redis.call('ZRANGE', prefix .. 'queue:cancelling:' .. id, 0, most_cancels - 1)
  if ids[1] then members = members .. ',"cancel":["' .. table.concat(ids, '","') .. '"]' end
end
return '{' .. members .. '}'
