-- The calls that share an EVALSHA write their changes to queues together, with one ZADD and one
-- ZREM for each queue. additions and removals hold the arguments of these commands by queue.
local additions, removals = {}, {}

-- write_queues writes these changes. Call it before reading a queue.
--- @closing write_queues
local function write_queues()
  for queue, entries in pairs(additions) do
    redis.call('ZADD', queue, unpack(entries))
    additions[queue] = nil
  end
  for queue, ids in pairs(removals) do
    redis.call('ZREM', queue, unpack(ids))
    removals[queue] = nil
  end
end

-- enqueue adds a task to a queue. position is its score.
local function enqueue(queue, position, id)
  if removals[queue] then write_queues() end -- the removals may include this task
  local entries = additions[queue]
  if not entries then
    additions[queue] = { position, id }
    return
  end
  entries[#entries + 1] = position
  entries[#entries + 1] = id
end

-- dequeue removes a task from a queue.
local function dequeue(queue, id)
  local ids = removals[queue]
  if ids then ids[#ids + 1] = id else removals[queue] = { id } end
end
