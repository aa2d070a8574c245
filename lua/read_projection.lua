--- @include "lib/second_place"
-- Reads everything that a projection into Redis has stored, at one moment, for a rebuild that
-- compares the live view with its second place.
--- @readonly
--
-- KEYS[1] log
-- ARGV[1] name   of the projection: state or metrics
-- ARGV[2] place  "" for the live view, "rebuild:" for the second place
-- Returns {checkpoint or "", identity of its log or "", hash without the namespace's prefix, {field,
--         value, …}, …}
-- Errors  none
-- Emits   nothing
local name, place = ARGV[1], ARGV[2]

local checkpoint, log = view_position(name, place)
local reply = { checkpoint, log or '' }
for _, hash in ipairs(view_hashes(name)) do
  reply[#reply + 1] = hash
  reply[#reply + 1] = redis.call('HGETALL', prefix .. place .. hash)
end
return reply
