--- @include "lib/group"
--- @include "lib/flush_deleting"
-- Delivers parked events again, each to the consumer group that has parked it.
--
-- KEYS[1] log
-- ARGV[1…] ids  of the parked entries
-- Returns {number of events that are delivered again, number of ids that are not parked, number of
--         events whose group does not exist, number of events that the log no longer has}; the last
--         two stay parked
-- Errors  CONFLICT (FLUSH_IN_PROGRESS)
-- Emits   nothing
local refused = refuse_while_deleting()
if refused then return refused end

local groups = {}
local function group_exists(type, group)
  local key = type .. ':' .. group
  if groups[key] == nil then
    groups[key] = false
    local infos = redis.pcall('XINFO', 'GROUPS', topic_of(type))
    for _, each in ipairs(infos.err and {} or infos) do
      for i = 1, #each, 2 do
        if each[i] == 'name' and each[i + 1] == group then groups[key] = true end
      end
    end
  end
  return groups[key]
end

local retried, unknown, without_group, lost = 0, 0, 0, 0
for _, id in ipairs(ARGV) do
  local parked = entry(parked_stream, id)
  local data = parked and parked.data
  if data == '' then
    local kept = entry(log_stream, parked.event)
    data = kept and kept.data or ''
  end
  if not parked then
    unknown = unknown + 1
  elseif not group_exists(parked.type, parked.group) then
    without_group = without_group + 1
  elseif data == '' then
    lost = lost + 1
  else
    set_aside(parked.type, parked.group, 'data', data, 'event', parked.event)
    unpark(id, parked)
    retried = retried + 1
  end
end
return { retried, unknown, without_group, lost }
