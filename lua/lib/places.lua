-- Places that commands give and take are written together: for each queue the arguments of one ZADD and of one ZREM.
local arriving, leaving = {}, {}

-- write_queues writes them, also for who is about to read a queue.
--- @closing write_queues
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

-- enqueue gives a task a place in a queue.
local function enqueue(queue, place, id)
  if leaving[queue] then write_queues() end -- perhaps it comes back
  local places = arriving[queue]
  if not places then
    arriving[queue] = { place, id }
    return
  end
  places[#places + 1] = place
  places[#places + 1] = id
end

-- dequeue takes a task out of a queue.
local function dequeue(queue, id)
  local ids = leaving[queue]
  if ids then ids[#ids + 1] = id else leaving[queue] = { id } end
end
