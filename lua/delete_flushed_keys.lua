--- @include "lib/flush"
-- Deletes about 100 keys of the namespace for a flush and counts them. Only keys of the eighteen
-- families below are deleted.
--
-- The first call is the point of no return. It deletes the log before any other key. Otherwise the
-- metrics' checkpoint could be gone while the log still exists, and the projection would count all
-- events a second time.
--
-- KEYS[1] log
-- ARGV[1] id      of the flush
-- ARGV[2] holder  the run that carries out the flush
-- ARGV[3] lease   how long the holder's lease lasts, ms
-- ARGV[4] tasks   number of rows deleted in Postgres, '' if they were kept
-- ARGV[5] cursor  of the last reply; 0 to start a pass over all keys
-- Returns {next cursor or 0 at the end of the pass; family, number of its keys deleted, …}
-- Errors  FLUSH_LOST
-- Emits   nothing
local id, holder, lease, tasks, cursor = ARGV[1], ARGV[2], tonumber(ARGV[3]), ARGV[4], ARGV[5]

local most = 100
local families = { task = 1, instance = 1, queue = 1, stream = 1, metrics = 1, circuit = 1, ratelimit = 1, todo = 1, service = 1,
  hook = 1, session = 1, health = 1, quorum = 1, batch = 1, scaling = 1, schedule = 1, schedules = 1, rebuild = 1 }

local refused = lost_flush(id, holder)
if refused then return refused end
local phase = redis.call('HGET', KEYS[1], 'flushPhase')
if phase == 'draining' then return redis.error_reply('FLUSH_LOST {}') end
hold(lease)

local found, deleted, all = {}, {}, 0
-- unlink deletes the keys of a family that were found.
local function unlink(family)
  local n = redis.call('UNLINK', unpack(found[family]))
  deleted[family] = (deleted[family] or 0) + n
  all = all + n
  found[family] = nil
end

if phase == 'fenced' then
  redis.call('HSET', KEYS[1], 'flushPhase', 'deleting')
  if tasks ~= '' then redis.call('HSET', KEYS[1], 'flushTasks', tasks) end
  found.stream = { prefix .. 'stream:events' }
  unlink('stream')
end
local page = redis.call('SCAN', cursor, 'MATCH', prefix .. '*', 'COUNT', most)
for _, key in ipairs(page[2]) do
  local family = string.match(key, '^(%l+):', #prefix + 1)
  if families[family] then
    local list = found[family] or {}
    found[family] = list
    list[#list + 1] = key
    if #list == most then unlink(family) end
  end
end
for family in pairs(families) do
  if found[family] then unlink(family) end
end
if all > 0 then redis.call('HINCRBY', KEYS[1], 'flushKeys', all) end
local reply = { page[1] }
for family, n in pairs(deleted) do
  reply[#reply + 1] = family
  reply[#reply + 1] = n
end
return reply
