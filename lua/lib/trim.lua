--- @include "lib/holders"
-- How far the log may be trimmed.

-- holders returns {kind, name, first ID that is needed} of everything that needs events of the log.
-- ignored has the names of those that are left out, each in its own line: the name of a checkpoint or
-- of a projection in Postgres, or stream:group, where stream is events or the type of a topic. It
-- returns nil if there are more checkpoints than one call may look at.
local function holders(ignored, first_type)
  local list, left_out = {}, {}
  for name in string.gmatch(ignored, '[^\n]+') do left_out[name] = true end
  local function add(kind, name, needs) list[#list + 1] = { kind, name, needs } end

  add('archive', 'archive', needed_after(redis.call('HGET', KEYS[1], 'archivedClosed')))
  if redis.call('EXISTS', prefix .. 'audit:seal') == 1 then
    add('seal', 'seal', needed_after(redis.call('HGET', prefix .. 'audit:seal', 'last')))
  end
  add('projection', 'state', needed_after(redis.call('HGET', prefix .. 'state:global', 'checkpoint')))
  add('projection', 'metrics', needed_after(redis.call('GET', prefix .. 'service:checkpoint:metrics')))
  for _, name in ipairs({ 'tasks', 'events' }) do
    local position = redis.call('HGET', prefix .. 'service:positions', name)
    -- A coordinator of an earlier version does not tell its position.
    local runs = position or redis.call('EXISTS', prefix .. 'service:lease:' .. name) == 1
    if runs and not left_out[name] then add('projection', name, needed_after(position)) end
  end
  local names = prefix .. 'service:checkpoints'
  if redis.call('ZCARD', names) > most_checkpoints then return nil end
  for _, name in ipairs(redis.call('ZRANGE', names, 0, -1)) do
    local position = redis.call('GET', prefix .. 'service:checkpoint:sub:' .. name)
    if position and not left_out[name] then add('checkpoint', name, needed_after(position)) end
  end
  local function groups(stream, type)
    for _, info in ipairs(group_infos(stream)) do
      local name = (type == '' and 'events' or type) .. ':' .. info.name
      local needs = not left_out[name] and group_needs(stream, type, info)
      if needs then add('group', name, needs) end
    end
  end
  groups(prefix .. 'stream:events', '')
  for i = first_type, #ARGV do groups(prefix .. 'stream:' .. ARGV[i], ARGV[i]) end
  return list
end

-- first_event returns the ID of the first event in the log, nil if there is none. It skips entries
-- that other programs have added.
local function first_event()
  local from = '-'
  while true do
    local page = redis.call('XRANGE', prefix .. 'stream:events', from, '+', 'COUNT', 10)
    for _, each in ipairs(page) do
      local id = each[1]
      local head = '{"id":"' .. id .. '","seq":'
      if each[2][1] == 'data' and string.sub(each[2][2], 1, #head) == head then return id end
    end
    if #page < 10 then return nil end
    from = '(' .. page[10][1]
  end
end

-- trim_limit returns how far the log may be trimmed now if it keeps the event to and those after it:
-- {first: of the log, limit: the first event that must stay, holders: that hold back}, or {refused:
-- why it may not be trimmed at all}.
local function trim_limit(to, ignored, first_type)
  local log = redis.call('HMGET', KEYS[1], 'flush', 'archive', 'archivedClosed')
  if log[1] then return { refused = 'flush' } end
  if not log[2] or not log[3] then return { refused = 'archive' } end
  local all = holders(ignored, first_type)
  if not all then return { refused = 'checkpoints' } end
  local first = first_event()
  if not first then return { refused = 'empty' } end
  local limit, _, to_seq, base = to, nil, nil, nil
  _, to_seq = id_parts(to)
  _, base = id_parts(first)
  local holding = {}
  for _, each in ipairs(all) do
    local needs = each[3]
    local _, seq = id_parts(needs)
    if sooner(needs, to) then
      local held = math.max(to_seq - math.max(seq, base), 0)
      if held > 0 then holding[#holding + 1] = { kind = each[1], name = each[2], needs = needs, events = held } end
      if sooner(needs, limit) then limit = needs end
    end
  end
  table.sort(holding, function(a, b) return a.events > b.events end)
  for i = #holding, 21, -1 do holding[i] = nil end
  return { first = first, limit = limit, holders = #holding > 0 and holding or nil }
end
