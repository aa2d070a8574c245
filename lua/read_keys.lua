--- @include "lib/last_seq"
-- Lists the keys of tasks, instances, queues and schedules, so that claudebench verify also finds keys that
-- nothing refers to. A full pass reads all keys of this Redis, a few at a time. Only verify asks
-- for that.
--- @readonly
--
-- KEYS[1] log
-- ARGV[1] cursor  of the last reply; 0 to start
-- ARGV[2] most    about how many keys to look at
-- Returns {seq of the last event, cursor for the next call or 0 at the end, {keys without the
--         namespace's prefix}}; a key may appear twice
-- Errors  none
-- Emits   nothing
local cursor, most = ARGV[1], ARGV[2]

local families = { task = true, instance = true, queue = true, schedule = true, schedules = true }

local page = redis.call('SCAN', cursor, 'MATCH', prefix .. '*', 'COUNT', most)
local keys = {}
for _, key in ipairs(page[2]) do
  local name = string.sub(key, #prefix + 1)
  if families[string.match(name, '^(%l+):')] then keys[#keys + 1] = name end
end
return { last_seq(), page[1], keys }
