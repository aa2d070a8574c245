--- @include "lib/space"
--- @include "lib/lease"
--- @include "lib/renewal"
-- The registrations of instances, read once in an EVALSHA. No call that uses this library registers
-- or removes an instance.

local known = {}

-- registration returns a list, or false if the instance is not registered: its roles as JSON text,
-- whether it is a worker ('1' or '0'), when it was last seen, its TTL in ms, its grace, and when this
-- version renewed it last.
local function registration(id)
  local r = known[id]
  if r == nil then
    r = redis.call('HMGET', prefix .. 'instance:' .. id, 'roles', 'worker', 'lastSeen', 'ttl', 'grace', 'renewed')
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
-- writes only when a quarter of the TTL has passed since the last renewal, or when a coordinator of
-- an earlier version renewed it last, for a TTL that is not its own. A registration by an earlier
-- version has no TTL until the next heartbeat; only heartbeats renew it.
local function sign_of_life(id)
  local r = registration(id)
  if not r or not r[4] or r[3] == r[6] and clock - r[3] < r[4] / 4 then return end
  local usual = r[4] - r[5]
  local state, term = lease(id)
  if state == 'own' then hold_lease(id, term, usual) end
  renew(id, r[2], r[4], usual)
  r[3] = int(clock)
  r[6] = r[3]
end
