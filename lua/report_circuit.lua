--- @include "lib/log"
--- @include "lib/json"
-- Stores the state that a method's circuit breaker has in one coordinator, for a limited time. A
-- coordinator whose report got no reply sends the report again; the second report changes nothing.
--
-- KEYS[1] log
-- ARGV[1] context      members of the event's envelope as JSON text: actor, cause, trace
-- ARGV[2] method       whose calls the circuit breaker guards
-- ARGV[3] coordinator  that has the circuit breaker
-- ARGV[4] state        OPEN, HALF_OPEN or CLOSED
-- ARGV[5] failures     number of consecutive failures that opened it
-- ARGV[6] over         when it lets a call through again, or did, ms
-- ARGV[7] moment       when its state changed, by the coordinator's clock, ms
-- ARGV[8] ttl          how long the state is kept, ms
-- Returns 1, or 0 if the same state is stored already
-- Errors  CONFLICT (FLUSH_IN_PROGRESS)
-- Emits   circuit.opened, circuit.closed
local context, method, coordinator, state = ARGV[1], ARGV[2], ARGV[3], ARGV[4]
local failures, over, moment, ttl = ARGV[5], ARGV[6], ARGV[7], tonumber(ARGV[8])

local refused = open_log()
if refused then return refused end
local key = prefix .. 'circuit:' .. method
local note = '{"state":"' .. state .. '","failures":' .. failures .. ',"until":' .. over .. ',"at":' .. moment .. '}'
if redis.call('HGET', key, coordinator) == note then return 0 end

local payload = '{"method":' .. quote(method) .. ',"failures":' .. failures .. ',"until":' .. over
  .. ',"coordinator":' .. quote(coordinator) .. ',"timestamp":' .. moment .. '}'
if state == 'OPEN' then
  emit('circuit.opened', payload, context)
elseif state == 'CLOSED' then
  emit('circuit.closed', payload, context)
end
-- Each report renews the key's expiry, so the states of coordinators that are gone must be deleted
-- here.
local notes = redis.call('HGETALL', key)
for i = 1, #notes, 2 do
  if tonumber(string.match(notes[i + 1], '"at":(%d+)') or 0) < clock - ttl then redis.call('HDEL', key, notes[i]) end
end
redis.call('HSET', key, coordinator, note)
redis.call('PEXPIRE', key, ttl)
return 1
