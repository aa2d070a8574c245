-- behind returns the number of events of the log after a checkpoint, and the age of the first one in
-- ms. last is the seq of the last event, and kept the number of entries in the log.
local function behind(checkpoint, last, kept)
  local done = string.match(checkpoint or '', '^%d+%-(%d+)$')
  local first = redis.call('XRANGE', prefix .. 'stream:events', done and '(' .. checkpoint or '-', '+', 'COUNT', 1)[1]
  if not first then return 0, 0 end
  local since = tonumber(string.match(first[1], '^(%d+)'))
  -- At most as many events as the log holds: a flush deletes the earlier ones.
  return math.min(math.max(last - (done or 0), 1), kept), math.max(clock - since, 0)
end
