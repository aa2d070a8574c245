--- @include "lib/log"
--- @include "lib/fit"
--- @include "lib/paused"
-- Wake-ups for calls of task.claim that wait for a task. A coordinator with such calls follows the
-- stream queue:wakeups, and keeps the time in the field waiting of the log's hash in the future. A
-- script writes wake-ups only until that time, so they cost nothing while no call waits.
--
-- The hash queue:waiting says which workers wait. A field is the roles of some of them as JSON text,
-- or * for any roles, and its value is until when. claim_task adds the roles of its worker in the
-- step in which it finds no task, so that each task that is created later is announced.
--
-- The calls that share an EVALSHA add one entry to the stream. A field of the entry says who can
-- claim something, and its value how many tasks:
--
--   set:<role set>  workers with these roles; the role set is '' for a task without roles
--   to:<instance>   the instance: a task was assigned to it, or its registration has changed
--   all             all instances: a flush has deleted their registrations, or a queue was resumed

local kept_wakeups = '2000' -- approximate number of entries that the stream keeps
local most_waiting = 32     -- number of fields of queue:waiting, without *
local longest_waiting = 256 -- length of such a field in bytes

local wakeups = {}
local waiters -- the roles in queue:waiting, each as a role_table, or true for any; read once
local takers  -- whether a waiting worker has the roles of a role set, by role set

-- wake announces n tasks, by default one.
local function wake(field, n)
  if waiting and tonumber(waiting) >= clock then wakeups[field] = (wakeups[field] or 0) + (n or 1) end
end

-- await_tasks makes scripts write wake-ups for workers with these roles for at least half of the
-- next hold ms. It returns whether they have done so until now.
local function await_tasks(roles, hold)
  local key = prefix .. 'queue:waiting'
  local known = redis.call('HMGET', key, roles, '*')
  local ends = math.max(tonumber(known[1] or 0), tonumber(known[2] or 0))
  if ends < clock + hold / 2 then
    local full = not known[1] and (#roles > longest_waiting or redis.call('HLEN', key) >= most_waiting)
    redis.call('HSET', key, full and '*' or roles, int(clock + hold))
    redis.call('PEXPIRE', key, int(hold))
    waiters = nil
  end
  return ends >= clock
end

-- awaited reports whether a worker waits that has the roles of a role set.
local function awaited(set)
  if not waiters then
    waiters, takers = {}, {}
    local stored = redis.call('HGETALL', prefix .. 'queue:waiting')
    for i = 1, #stored, 2 do
      if tonumber(stored[i + 1]) >= clock then waiters[#waiters + 1] = stored[i] == '*' or role_table(stored[i]) end
    end
  end
  local found = takers[set]
  if found == nil then
    found = false
    for _, roles in ipairs(waiters) do
      if roles == true or fits(roles, set) then found = true end
    end
    takers[set] = found
  end
  return found
end

-- wake_workers announces a task that waits in the queue of a role set, unless the queue is paused.
local function wake_workers(roleset)
  local set = roleset or ''
  if waiting and tonumber(waiting) >= clock and not is_paused(set) and awaited(set) then wake('set:' .. set) end
end

-- wake_instance announces a change that concerns one instance.
local function wake_instance(id)
  wake('to:' .. id)
end

--- @closing write_wakeups
local function write_wakeups()
  local fields = {}
  for field, n in pairs(wakeups) do
    fields[#fields + 1] = field
    fields[#fields + 1] = int(n)
  end
  if fields[1] then redis.call('XADD', prefix .. 'queue:wakeups', 'MAXLEN', '~', kept_wakeups, '*', unpack(fields)) end
end
