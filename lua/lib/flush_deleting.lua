-- While a flush deletes keys, nothing may be written. Projections, which finish behind the fence,
-- look here.

-- flush_deleting reports whether one does.
local function flush_deleting()
  return redis.call('HGET', KEYS[1], 'flushPhase') == 'deleting'
end

-- refuse_while_deleting returns an error reply when one does.
local function refuse_while_deleting()
  if flush_deleting() then return redis.error_reply('CONFLICT {"reason":"FLUSH_IN_PROGRESS"}') end
end
