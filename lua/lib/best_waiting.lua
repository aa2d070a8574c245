--- @include "lib/queue"
--- @include "lib/queue_writes"
--- @include "lib/fit"
-- best_waiting returns up to n waiting tasks that an instance with these roles may take, best
-- first, each as {id, score, queue}. It looks at the heads of at most 65 queues.
local function best_waiting(roles, n)
  write_queues()
  local found = {}
  local function heads(queue)
    local head = redis.call('ZRANGE', queue, 0, n - 1, 'WITHSCORES')
    for i = 1, #head, 2 do
      found[#found + 1] = { head[i], tonumber(head[i + 1]), queue }
    end
  end
  heads(waiting_queue())
  local sets = redis.call('HKEYS', prefix .. 'queue:rolesets')
  if #sets == 0 then return found end
  for _, set in ipairs(sets) do
    if fits(roles, set) then heads(waiting_queue(set)) end
  end
  table.sort(found, function(a, b) return a[2] < b[2] end)
  for i = #found, n + 1, -1 do found[i] = nil end
  return found
end
