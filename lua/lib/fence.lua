-- fenced returns an error reply while a flush fences commands off.
local function fenced()
  if redis.call('HEXISTS', KEYS[1], 'fence') == 1 then
    return redis.error_reply('CONFLICT {"reason":"FLUSH_IN_PROGRESS"}')
  end
end
