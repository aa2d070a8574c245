--- @include "lib/group"
--- @include "lib/flush_deleting"
-- Deletes parked events. Their groups do not get them again.
--
-- KEYS[1] log
-- ARGV[1…] ids  of the parked entries
-- Returns {number of deleted entries, number of ids that are not parked}
-- Errors  CONFLICT (FLUSH_IN_PROGRESS)
-- Emits   nothing
local refused = refuse_while_deleting()
if refused then return refused end

local dropped, unknown = 0, 0
for _, id in ipairs(ARGV) do
  local parked = entry(parked_stream, id)
  if parked then
    unpark(id, parked)
    dropped = dropped + 1
  else
    unknown = unknown + 1
  end
end
return { dropped, unknown }
