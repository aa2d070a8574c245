--- @include "lib/trim"
-- Removes a slice of the log's start, and moves the log's base. It removes no event that something
-- needs, and no event from to on. Only whole nodes of the stream are removed, which is cheap, so up to
-- a hundred events more may stay.
--
-- XTRIM comes before HSET: Redis refuses HSET above maxmemory, unless the script has already written.
--
-- KEYS[1] log
-- ARGV[1] to       first event that the log keeps by its retention
-- ARGV[2] most     about how many events are removed
-- ARGV[3] ignored  names of readers that do not hold it back, as for read_trim
-- ARGV[4…] types   event types whose topics may have consumer groups
-- Returns JSON as read_trim, with first as it is after the removal, and removed: the number of entries
--         removed
-- Errors  none
-- Emits   nothing
local to, most, ignored = ARGV[1], ARGV[2], ARGV[3]
local first_type = 4

local result = trim_limit(to, ignored, first_type)
if result.refused then return cjson.encode(result) end
result.removed = redis.call('XTRIM', prefix .. 'stream:events', 'MINID', '~', result.limit, 'LIMIT', most)
if result.removed > 0 then
  result.first = first_event()
  local _, base = id_parts(result.first)
  redis.call('HSET', KEYS[1], 'base', int(base), 'trimTo', to)
else
  redis.pcall('HSET', KEYS[1], 'trimTo', to) -- fails above maxmemory; the next removal sets it
end
return cjson.encode(result)
