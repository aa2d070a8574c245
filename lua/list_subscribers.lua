--- @include "lib/limit_outside_flush"
--- @include "lib/last_seq"
--- @include "lib/behind"
--- @include "lib/holders"
-- Lists who reads the log and its topics: the projections, the services with a checkpoint in Redis,
-- and the consumer groups. The cost depends on their number and on the number of event types, not on
-- the length of the log. The script works behind the fence of a flush too. It writes nothing but the
-- rate limit's counters.
--- @readonly
--
-- KEYS[1] log
-- ARGV[1] context   not used
-- ARGV[2] subject   key of the rate limit, method:actor
-- ARGV[3] calls     calls a minute, 0 for no limit; further lines hold other limits (lib/guard)
-- ARGV[4] view      checkpoint of the task view, '' to leave the view out
-- ARGV[5] index     checkpoint of the index of events, '' to leave it out
-- ARGV[6] most      maximum number of checkpoints, and of consumer groups
-- ARGV[7…] types    event types whose topics may have consumer groups
-- Returns {number of parked events, number of checkpoints, number of groups, {{kind, name, stream:
--         events or the type of a topic, position, lag in events, lag in ms, pending, parked, time of
--         the last move in ms, events that the log keeps only for it}, …}}: the projections, the checkpoints that moved last, the groups. A
--         value that is unknown, or that the kind does not have, is ''
-- Errors  RATE_LIMITED
-- Emits   nothing
local subject, calls, view, index, most = ARGV[2], ARGV[3], ARGV[4], ARGV[5], tonumber(ARGV[6])
local first_type = 7

local refused = limit_outside_flush(subject, calls)
if refused then return refused end

local last, kept, rows = last_seq(), redis.call('XLEN', prefix .. 'stream:events'), {}
-- The first event that the log keeps by its retention; false without a retention.
local retained = redis.call('HGET', KEYS[1], 'trimTo')

-- holds returns how many events the log keeps beyond its retention for a reader that needs the event
-- needs and those after it, '' without a retention.
local function holds(needs)
  if not retained then return '' end
  if not needs then return '0' end
  local _, to = id_parts(retained)
  local _, from = id_parts(needs)
  local base = tonumber(redis.call('HGET', KEYS[1], 'base') or 0)
  return int(math.max(to - math.max(from, base), 0))
end

local function add(kind, name, position, moved)
  local events, ms = behind(position, last, kept)
  rows[#rows + 1] = { kind, name, 'events', position, int(events), int(ms), '', '', moved, holds(needed_after(position)) }
end

add('projection', 'state', redis.call('HGET', prefix .. 'state:global', 'checkpoint') or '', '')
add('projection', 'metrics', redis.call('GET', prefix .. 'service:checkpoint:metrics') or '', '')
if view ~= '' then add('projection', 'tasks', view, '') end
if index ~= '' then add('projection', 'events', index, '') end

local names = prefix .. 'service:checkpoints'
local moved = redis.call('ZREVRANGE', names, 0, most - 1, 'WITHSCORES')
for i = 1, #moved, 2 do
  add('checkpoint', moved[i], redis.call('GET', prefix .. 'service:checkpoint:sub:' .. moved[i]) or '', int(moved[i + 1]))
end

-- groups adds the consumer groups of a stream and returns their number. type is '' for the log.
local function groups(stream, type)
  local infos = group_infos(stream)
  for n = 1, math.min(#infos, most) do
    local info = infos[n]
    local name, position, lag = info.name, info['last-delivered-id'], info.lag
    local pending, parked, first = info.pending, '', nil
    if type == '' then
      local events, ms = behind(position, last, kept)
      rows[#rows + 1] = { 'group', name, 'events', position, int(events), int(ms), int(pending), '', '',
        holds(group_needs(stream, type, info)) }
    else
      first = redis.call('XRANGE', stream, '(' .. position, '+', 'COUNT', 1)[1]
      if not first then lag = 0 end
      -- What the group's own stream holds was not acknowledged yet.
      local own = prefix .. 'stream:group:' .. type .. ':' .. name
      local waiting = redis.call('XLEN', own)
      if waiting > 0 then
        local held = redis.pcall('XPENDING', own, name)
        held = held.err and 0 or held[1]
        pending = pending + held
        if lag then lag = lag + waiting - held end
      end
      parked = redis.call('HGET', prefix .. 'service:parked', type .. ':' .. name) or '0'
      local ms = first and math.max(clock - string.match(first[1], '^(%d+)'), 0) or 0
      rows[#rows + 1] = { 'group', name, type, position, lag and int(lag) or '', int(ms), int(pending), parked, '',
        holds(group_needs(stream, type, info)) }
    end
  end
  return #infos
end

local all = groups(prefix .. 'stream:events', '')
for i = first_type, #ARGV do
  all = all + groups(prefix .. 'stream:' .. ARGV[i], ARGV[i])
end
return { redis.call('XLEN', prefix .. 'stream:parked'), redis.call('ZCARD', names), all, rows }
