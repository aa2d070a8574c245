--- @include "lib/limit_outside_flush"
--- @include "lib/last_seq"
--- @include "lib/behind"
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
--         the last move in ms}, …}}: the projections, the checkpoints that moved last, the groups. A
--         value that is unknown, or that the kind does not have, is ''
-- Errors  RATE_LIMITED
-- Emits   nothing
local subject, calls, view, index, most = ARGV[2], ARGV[3], ARGV[4], ARGV[5], tonumber(ARGV[6])
local first_type = 7

local refused = limit_outside_flush(subject, calls)
if refused then return refused end

local last, kept, rows = last_seq(), redis.call('XLEN', prefix .. 'stream:events'), {}

local function add(kind, name, position, moved)
  local events, ms = behind(position, last, kept)
  rows[#rows + 1] = { kind, name, 'events', position, int(events), int(ms), '', '', moved }
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
  local infos = redis.pcall('XINFO', 'GROUPS', stream)
  if infos.err then return 0 end -- there is no such stream
  for n = 1, math.min(#infos, most) do
    local info = {}
    for i = 1, #infos[n], 2 do info[infos[n][i]] = infos[n][i + 1] end
    local name, position, lag = info.name, info['last-delivered-id'], info.lag
    local pending, parked, first = info.pending, '', nil
    if type == '' then
      local events, ms = behind(position, last, kept)
      rows[#rows + 1] = { 'group', name, 'events', position, int(events), int(ms), int(pending), '', '' }
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
      rows[#rows + 1] = { 'group', name, type, position, lag and int(lag) or '', int(ms), int(pending), parked, '' }
    end
  end
  return #infos
end

local all = groups(prefix .. 'stream:events', '')
for i = first_type, #ARGV do
  all = all + groups(prefix .. 'stream:' .. ARGV[i], ARGV[i])
end
return { redis.call('XLEN', prefix .. 'stream:parked'), redis.call('ZCARD', names), all, rows }
