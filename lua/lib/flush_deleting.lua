-- While a flush deletes keys, nothing else may be written. Projections continue behind the fence
-- until then, so their scripts check the phase of the flush.

-- flush_deleting reports whether a flush is deleting keys.
local function flush_deleting()
  return redis.call('HGET', KEYS[1], 'flushPhase') == 'deleting'
end

-- refuse_while_deleting returns an error reply while a flush is deleting keys.
local function refuse_while_deleting()
  if flush_deleting() then return redis.error_reply('CONFLICT {"reason":"FLUSH_IN_PROGRESS"}') end
end
