--- @include "lib/log"
--- @include "lib/lease"
--- @include "lib/renewal"
-- The registrations of instances, read once in an EVALSHA. No call that uses this library registers
-- or removes an instance.

local known = {}

-- registration returns a list, or false if the instance is not registered: its roles as JSON text,
-- whether it is a worker ('1' or '0'), when it was last seen, the TTL in ms and the grace of its last
-- renewal, when this version renewed it last, and the TTL that it asked for.
local function registration(id)
  local r = known[id]
  if r == nil then
    r = redis.call('HMGET', prefix .. 'instance:' .. id, 'roles', 'worker', 'lastSeen', 'ttl', 'grace', 'renewed', 'ttlMs')
    if not r[1] then r = false end
    known[id] = r
  end
  return r
end

-- registered returns an instance's roles as JSON text, or false if it is not registered.
local function registered(id)
  local r = registration(id)
  return r and r[1]
end

-- sign_of_life renews the registration of an instance in whose name a command was carried out. It
-- writes only when a quarter of the TTL has passed since the last renewal, when the fleet has
-- another TTL since, or when a coordinator of an earlier version renewed it last, for a TTL that is
-- not its own. A registration by an earlier version has no TTL until the next heartbeat; only
-- heartbeats renew it.
local function sign_of_life(id)
  local r = registration(id)
  if not r or not r[4] then return end
  local usual = tonumber(fleet_ttl) or r[4] - r[5]
  local ttl = tonumber(r[7]) or usual
  if r[3] == r[6] and ttl - usual == tonumber(r[5]) and ttl == tonumber(r[4]) and clock - r[3] < ttl / 4 then return end
  local state, term = lease(id)
  if state == 'own' then hold_lease(id, term, usual) end
  renew(id, r[2], ttl, usual)
  r[3], r[4], r[5] = int(clock), int(ttl), int(ttl - usual)
  r[6] = r[3]
end
