-- condemned returns an error reply while a flush deletes keys: nothing may be written then. Projections,
-- which finish behind the fence, look at it.
local function condemned()
  if redis.call('HGET', KEYS[1], 'flushPhase') == 'deleting' then
    return redis.error_reply('CONFLICT {"reason":"FLUSH_IN_PROGRESS"}')
  end
end
