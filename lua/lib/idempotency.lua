--- @include "lib/space"
-- Idempotency keys. A key here is the hash of a method, a caller and the caller's idempotency key.
-- It stores for a day what a script needs to build the first answer again. Text and metadata from
-- users are not stored, because they can be long. They come from the params of the repeated call or
-- from the task. Earlier versions stored the whole answer; is_whole recognizes it.

local answers_kept = 86400000 -- ms

-- recall returns the text that is stored under a key, or nil. If the key was used with other
-- params, the second result is an error reply. The key '' means that the call has no idempotency
-- key.
local function recall(key, digest)
  if key == '' then return nil end
  local kept = redis.call('GET', prefix .. 'service:idempotency:' .. key)
  if not kept then return nil end
  if string.sub(kept, 1, #digest) ~= digest then
    return nil, redis.error_reply('CONFLICT {"reason":"IDEMPOTENCY_KEY_REUSED"}')
  end
  return string.sub(kept, #digest + 1)
end

-- remember stores JSON text under a key, with the digest of the params.
local function remember(key, digest, text)
  if key ~= '' then
    redis.call('SET', prefix .. 'service:idempotency:' .. key, digest .. text, 'PX', answers_kept)
  end
end

-- is_whole reports whether a stored text is a whole answer with task objects.
local function is_whole(kept)
  return string.find(kept, '"text":', 1, true) ~= nil
end
