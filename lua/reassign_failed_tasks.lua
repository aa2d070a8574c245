--- @include "lib/guard"
--- @include "lib/depart"
-- Declares instances dead that have sent no heartbeat for longer than the timeout, the longest
-- silent first, at most 25 a call. Their queues become orphan queues, and requeue_orphans puts the
-- tasks back later.
--
-- The script compares the monitor's last tick with the clock. If there is none, or if the next tick
-- is late by more than two intervals or a quarter of the TTL, whichever is shorter, the script
-- assumes that everything was stopped and that instances could send no heartbeats. Then it declares
-- nobody dead for one TTL, for any caller. A timeout below the TTL is an operator's order and does
-- not wait.
--
-- KEYS[1] log
-- ARGV[1] context   members of the event's envelope as JSON text: actor, cause, trace
-- ARGV[2] subject   key of the rate limit, method:actor
-- ARGV[3] calls     calls a minute, 0 for no limit; further lines hold other limits (lib/guard)
-- ARGV[4] timeout   how long an instance must have been silent, ms; longer for one with a longer TTL
-- ARGV[5] interval  of the monitor's ticks, ms
-- ARGV[6] ttl       of registrations, ms
-- ARGV[7] healthy   how many live instances to list
-- ARGV[8] tick      1 if the monitor asks, else 0
-- Returns {{id of a dead instance, number of its tasks, …}, 1 if there are more dead instances else
--         0, {ids of live instances}}
-- Errors  RATE_LIMITED, CONFLICT (FLUSH_IN_PROGRESS)
-- Emits   instance.failed for each instance
local subject, calls, timeout = ARGV[2], ARGV[3], tonumber(ARGV[4])
local interval, ttl, healthy, tick = tonumber(ARGV[5]), tonumber(ARGV[6]), tonumber(ARGV[7]), ARGV[8]

local most, most_spared = 25, 1000 -- instances a call

local refused = open_log() or limit(subject, calls)
if refused then return refused end
-- Until patience, nobody is declared dead, and an instance with a longer TTL not until patience plus
-- its grace.
local patience = 0
if timeout >= ttl then
  local key = prefix .. 'health:monitor'
  local monitor = redis.call('HMGET', key, 'tick', 'patience')
  patience = tonumber(monitor[2] or 0)
  if not monitor[1] or clock - monitor[1] > interval + math.min(2 * interval, ttl / 4) then patience = clock + ttl end
  if tick == '1' then redis.call('HSET', key, 'tick', int(clock), 'patience', int(patience)) end
end

local alive = prefix .. 'health:alive'
local oldest = int(clock - timeout)
local failed, spared = {}, 0
-- bury declares an instance dead, unless it may live.
local function bury(id, score)
  local known = redis.call('HMGET', prefix .. 'health:gossip:' .. id, 'lastSeen', 'grace')
  -- A heartbeat through a coordinator of an earlier version writes no grace.
  local grace = known[1] ~= score and known[2] or 0
  local seen = int(score - grace)
  if clock < patience + grace or clock - seen < math.min(timeout, ttl + grace) then
    spared = spared + 1
    return
  end
  local tasks = held(id)
  emit('instance.failed', '{"id":' .. quote(id) .. ',"roles":' .. (redis.call('HGET', prefix .. 'health:roles', id) or '[]')
    .. ',"lastSeen":' .. seen .. ',"tasksReassigned":' .. tasks .. ',"timestamp":' .. now_text .. '}')
  depart(id, 'instance_failed')
  failed[#failed + 1] = id
  failed[#failed + 1] = tasks
end
if clock >= patience then
  while #failed < 2 * most and spared < most_spared do
    local silent = redis.call('ZRANGEBYSCORE', alive, '-inf', '(' .. oldest, 'WITHSCORES', 'LIMIT', spared, most - #failed / 2)
    if #silent == 0 then break end
    for i = 1, #silent, 2 do bury(silent[i], silent[i + 1]) end
  end
end
if #failed == 2 * most then return { failed, 1, {} } end
if healthy == 0 then return { failed, 0, {} } end
return { failed, 0, redis.call('ZREVRANGEBYSCORE', alive, '+inf', oldest, 'LIMIT', 0, healthy) }
