--- @include "lib/space"
--- @include "lib/closing"
-- The queues of tasks. In each the lowest score comes first: the highest priority, and within one the
-- lowest number. A score holds both exactly: 7 bits of priority above 46 of the number, 53 in all.

local function score(priority, id)
  return int((100 - priority) * 70368744177664 + string.sub(id, 3))
end

-- waiting_queue is where a task waits for a worker: by the set of roles it asks for, if it asks for any.
local function waiting_queue(roleset)
  if not roleset or roleset == '' then return prefix .. 'queue:tasks:pending' end
  return prefix .. 'queue:roles:' .. roleset
end

-- Places that commands give and take are written together: for each queue the arguments of one ZADD and of one ZREM.
local arriving, leaving = {}, {}

-- write_queues writes them, for who is about to read a queue.
local function write_queues()
  for queue, places in pairs(arriving) do
    redis.call('ZADD', queue, unpack(places))
    arriving[queue] = nil
  end
  for queue, ids in pairs(leaving) do
    redis.call('ZREM', queue, unpack(ids))
    leaving[queue] = nil
  end
end

closing[#closing + 1] = write_queues

-- enqueue gives a task a place in a queue.
local function enqueue(queue, place, id)
  if leaving[queue] then write_queues() end -- perhaps it comes back
  local places = arriving[queue]
  if not places then
    places = {}
    arriving[queue] = places
  end
  places[#places + 1] = place
  places[#places + 1] = id
end

-- dequeue takes a task out of a queue.
local function dequeue(queue, id)
  local ids = leaving[queue]
  if ids then ids[#ids + 1] = id else leaving[queue] = { id } end
end
