-- While a flush deletes keys, nothing may be written. Projections, which finish behind the fence, look here.

-- condemned tells whether one does.
local function condemned()
  return redis.call('HGET', KEYS[1], 'flushPhase') == 'deleting'
end

-- refuse_condemned returns an error reply when one does.
local function refuse_condemned()
  if condemned() then return redis.error_reply('CONFLICT {"reason":"FLUSH_IN_PROGRESS"}') end
end
