--- @include "lib/last_seq"
-- Reads which keys of tasks, instances and queues there are, so that what nothing names is found as
-- well. It goes through all keys of its Redis, a few at a time: only an auditor asks for that.
--- @readonly
--
-- KEYS[1] log
-- ARGV[1] cursor   where to go on, 0 to begin
-- ARGV[2] most     keys to look at, about
-- Returns {seq of the last event, cursor to go on with, 0 at the end, {keys without the namespace's prefix}};
--         a key may come twice
-- Errors  none
-- Emits   nothing
local cursor, most = ARGV[1], ARGV[2]

local families = { task = true, instance = true, queue = true }

local page = redis.call('SCAN', cursor, 'MATCH', prefix .. '*', 'COUNT', most)
local keys = {}
for _, key in ipairs(page[2]) do
  local name = string.sub(key, #prefix + 1)
  if families[string.match(name, '^(%l+):')] then keys[#keys + 1] = name end
end
return { last_seq(), page[1], keys }
