--- @include "lib/queue"
--- @include "lib/queue_writes"
--- @include "lib/fit"
--- @include "lib/paused"
-- best_waiting returns up to n waiting tasks that an instance with these roles may take, best
-- first, each as {id, score, queue}. It leaves out paused queues. It merges the heads of at most 65 queues (64 role sets, and
-- the queue without roles), and reads at most ten tasks of a queue at a time.
local function best_waiting(roles, n)
  write_queues()
  local found, heads = {}, {}
  local function read(head)
    head.page = redis.call('ZRANGE', head.queue, head.from, head.from + math.min(n, 10) - 1, 'WITHSCORES')
    head.from, head.next = head.from + #head.page / 2, 1
    head.score = tonumber(head.page[2])
  end
  local function open(queue)
    local head = { queue = queue, from = 0 }
    read(head)
    if head.score then heads[#heads + 1] = head end
  end
  if not is_paused('') then open(waiting_queue()) end
  for _, set in ipairs(redis.call('HKEYS', prefix .. 'queue:rolesets')) do
    if not is_paused(set) and fits(roles, set) then open(waiting_queue(set)) end
  end
  while #found < n and #heads > 0 do
    local best = 1
    for i = 2, #heads do
      if heads[i].score < heads[best].score then best = i end
    end
    local head = heads[best]
    found[#found + 1] = { head.page[head.next], head.score, head.queue }
    head.next = head.next + 2
    head.score = tonumber(head.page[head.next + 1])
    if not head.score and #found < n then read(head) end
    if not head.score then table.remove(heads, best) end
  end
  return found
end
