--- @include "lib/space"
-- Idempotency keys: under the hash of a method and a key lies for a day what makes the first answer
-- again. That is never what users brought, which may be long: it is in the params of the repeated
-- call, or with the task. Earlier versions kept the whole answer.

local answers_kept = 86400000 -- ms

-- recall returns what was kept under a key, or nil, and an error reply when the key was used with
-- other params. No key is ''.
local function recall(key, digest)
  if key == '' then return nil end
  local kept = redis.call('GET', prefix .. 'service:idempotency:' .. key)
  if not kept then return nil end
  if string.sub(kept, 1, #digest) ~= digest then
    return nil, redis.error_reply('CONFLICT {"reason":"IDEMPOTENCY_KEY_REUSED"}')
  end
  return string.sub(kept, #digest + 1)
end

-- remember keeps JSON text.
local function remember(key, digest, text)
  if key ~= '' then
    redis.call('SET', prefix .. 'service:idempotency:' .. key, digest .. text, 'PX', answers_kept)
  end
end

-- is_whole reports whether an answer with task objects was kept as a whole.
local function is_whole(kept)
  return string.find(kept, '"text":', 1, true) ~= nil
end
