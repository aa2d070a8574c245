--- @include "lib/space"
-- Notes the settings that the coordinators of a namespace must have in common, and renews the note for a lease. Where
-- other values are noted, nothing is renewed. No flush deletes the note: its key is in none of the flushed families.
--
-- KEYS[1] log
-- ARGV[1] lease      how long the note lasts, ms
-- ARGV[2] replace    1 to note these values whatever is noted, else 0
-- ARGV[3…] settings  name, value, …
-- Returns {how long the note lasts still, ms; name, value noted, … of the settings that differ}
-- Errors  none
-- Emits   nothing
local lease, replace = ARGV[1], ARGV[2]
local note = prefix .. 'fleet:settings'

if replace == '1' then redis.call('DEL', note) end
local different = {}
for i = 3, #ARGV, 2 do
  local noted = redis.call('HGET', note, ARGV[i])
  if noted and noted ~= ARGV[i + 1] then
    different[#different + 1] = ARGV[i]
    different[#different + 1] = noted
  end
end
if #different > 0 then return { redis.call('PTTL', note), unpack(different) } end
for i = 3, #ARGV, 2 do
  redis.call('HSET', note, ARGV[i], ARGV[i + 1])
end
redis.call('PEXPIRE', note, lease)
return { tonumber(lease) }
