--- @include "lib/guard"
--- @include "lib/depart"
-- Declares instances dead that have been silent for too long, the longest first, 25 a call. What
-- they had is set aside to go back to its places (requeue_orphans).
--
-- After a stop of the world, when the monitor's last tick is missing or late by more than two
-- intervals or by more than a quarter of the TTL, nobody is declared dead for one TTL, whoever asks.
-- A timeout below the TTL is an operator's order, and waits for nothing.
--
-- KEYS[1] log
-- ARGV[1] context   inside of the envelope: actor, cause, trace
-- ARGV[2] subject   method:actor of the rate limit
-- ARGV[3] calls     a minute and actor, 0 for no limit
-- ARGV[4] timeout   ms of silence
-- ARGV[5] interval  of the monitor's ticks, ms
-- ARGV[6] ttl       of registrations, ms
-- ARGV[7] healthy   how many of the living to list
-- ARGV[8] tick      1 when it is the monitor that asks, else 0
-- Returns {{id, tasks taken from it, …}, 1 when there are more to declare else 0, {ids of the living}}
-- Errors  RATE_LIMITED, CONFLICT (FLUSH_IN_PROGRESS)
-- Emits   instance.failed for each
local subject, calls, timeout = ARGV[2], ARGV[3], tonumber(ARGV[4])
local interval, ttl, healthy, tick = tonumber(ARGV[5]), tonumber(ARGV[6]), tonumber(ARGV[7]), ARGV[8]

local most = 25

local refused = open_log() or limit(subject, calls)
if refused then return refused end
local patient = false
if timeout >= ttl then
  local key = prefix .. 'health:monitor'
  local monitor = redis.call('HMGET', key, 'tick', 'patience')
  local patience = tonumber(monitor[2] or 0)
  if not monitor[1] or clock - monitor[1] > interval + math.min(2 * interval, ttl / 4) then patience = clock + ttl end
  if tick == '1' then redis.call('HSET', key, 'tick', int(clock), 'patience', int(patience)) end
  patient = clock < patience
end

local alive = prefix .. 'health:alive'
local oldest = int(clock - timeout)
local silent = patient and {} or redis.call('ZRANGEBYSCORE', alive, '-inf', '(' .. oldest, 'WITHSCORES', 'LIMIT', 0, most)
local failed = {}
for i = 1, #silent, 2 do
  local id, seen = silent[i], silent[i + 1]
  local tasks = held(id)
  emit('instance.failed', '{"id":' .. quote(id) .. ',"roles":' .. (redis.call('HGET', prefix .. 'health:roles', id) or '[]')
    .. ',"lastSeen":' .. seen .. ',"tasksReassigned":' .. tasks .. ',"timestamp":' .. now_text .. '}')
  depart(id, 'instance_failed')
  failed[#failed + 1] = id
  failed[#failed + 1] = tasks
end
if #silent == 2 * most then return { failed, 1, {} } end
if healthy == 0 then return { failed, 0, {} } end
return { failed, 0, redis.call('ZREVRANGEBYSCORE', alive, '+inf', oldest, 'LIMIT', 0, healthy) }
