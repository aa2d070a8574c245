--- @include "lib/space"
-- Idempotency keys: the answer to a command is kept for a day under the hash of its method and key.

local answers_kept = 86400000 -- ms

-- recall returns the first answer that was given under a key, an error reply when the key was used with
-- other params, or nil. No key is ''.
local function recall(key, digest)
  if key == '' then return nil end
  local kept = redis.call('GET', prefix .. 'service:idempotency:' .. key)
  if not kept then return nil end
  if string.sub(kept, 1, #digest) ~= digest then
    return redis.error_reply('CONFLICT {"reason":"IDEMPOTENCY_KEY_REUSED"}')
  end
  return string.sub(kept, #digest + 1)
end

-- remember keeps an answer and returns it.
local function remember(key, digest, answer)
  if key ~= '' then
    redis.call('SET', prefix .. 'service:idempotency:' .. key, digest .. answer, 'PX', answers_kept)
  end
  return answer
end
