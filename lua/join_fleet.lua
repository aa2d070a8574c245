--- @include "lib/space"
--- @include "lib/clock"
-- Records what all coordinators of a namespace must have in common: the log's format, which stays
-- for good, and the settings, which expire with a lease. If a higher format or other settings are
-- recorded, the script changes nothing. It also notes that the coordinator is alive, and its version,
-- for system.info and for `doctor`.
--
-- A flush does not delete these records. The format is in the log's hash, and the keys of the
-- settings and of the coordinators belong to none of the families that a flush deletes.
--
-- KEYS[1] log
-- ARGV[1] lease      how long the settings stay recorded, ms
-- ARGV[2] replace    1 to replace other settings, else 0
-- ARGV[3] format     of the log that the program writes
-- ARGV[4] program    the program's version
-- ARGV[5] ttl        of registrations without a TTL of their own, ms
-- ARGV[6] name       of the coordinator
-- ARGV[7…] settings  name, value, …
-- Returns {the recorded format, version of the first program that recorded it, how long the
--         recorded settings last, ms; name, recorded value, … of each setting that differs}
-- Errors  none
-- Emits   nothing
local lease, replace, format, program, ttl, name = ARGV[1], ARGV[2], ARGV[3], ARGV[4], ARGV[5], ARGV[6]
local first_setting = 7
local note = prefix .. 'fleet:settings'

local noted = redis.call('HMGET', KEYS[1], 'format', 'program')
local highest = tonumber(noted[1] or 0)
if highest > tonumber(format) then return { highest, noted[2] or '', redis.call('PTTL', note) } end
if replace == '1' then redis.call('DEL', note) end
local different = {}
for i = first_setting, #ARGV, 2 do
  local value = redis.call('HGET', note, ARGV[i])
  if value and value ~= ARGV[i + 1] then
    different[#different + 1] = ARGV[i]
    different[#different + 1] = value
  end
end
if #different > 0 then return { highest, noted[2] or '', redis.call('PTTL', note), unpack(different) } end
if highest < tonumber(format) then redis.call('HSET', KEYS[1], 'format', format, 'program', program) end
for i = first_setting, #ARGV, 2 do
  redis.call('HSET', note, ARGV[i], ARGV[i + 1])
end
redis.call('PEXPIRE', note, lease)

local alive, versions = prefix .. 'fleet:coordinators', prefix .. 'fleet:versions'
redis.call('ZADD', alive, int(clock), name)
redis.call('HSET', versions, name, program)
local gone = redis.call('ZRANGEBYSCORE', alive, '-inf', int(clock - lease), 'LIMIT', 0, 100)
if #gone > 0 then
  redis.call('ZREM', alive, unpack(gone))
  redis.call('HDEL', versions, unpack(gone))
end
redis.call('PEXPIRE', alive, lease)
redis.call('PEXPIRE', versions, lease)

-- lib/log reads the TTL and the topics from the log's hash. recover_log needs the topic of
-- leader.elected.
redis.call('HSET', KEYS[1], 'ttl', ttl)
local topics = redis.call('HGET', note, 'topics')
if not topics or topics == 'all' then
  redis.call('HDEL', KEYS[1], 'topics')
else
  redis.call('HSET', KEYS[1], 'topics', ',leader.elected,' .. (topics == 'none' and '' or topics .. ','))
end
return { tonumber(format), program, tonumber(lease) }
