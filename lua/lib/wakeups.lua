--- @include "lib/log"
-- Wake-ups for calls of task.claim that wait for a task. A coordinator with such calls follows the
-- stream queue:wakeups, and keeps the time in the field waiting of the log's hash in the future. A
-- script writes wake-ups only until that time, so they cost nothing while no call waits.
--
-- The calls that share an EVALSHA add one entry to the stream. A field of the entry says who can
-- claim something, and its value how many tasks:
--
--   set:<role set>  workers with these roles; the role set is '' for a task without roles
--   to:<instance>   the instance: a task was assigned to it, or its registration has changed
--   all             all instances: a flush has deleted their registrations

local kept_wakeups = '2000' -- approximate number of entries that the stream keeps

local wakeups = {}

local function wake(field)
  if waiting and tonumber(waiting) >= clock then wakeups[field] = (wakeups[field] or 0) + 1 end
end

-- wake_workers announces a task that waits in the queue of a role set.
local function wake_workers(roleset)
  wake('set:' .. (roleset or ''))
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
