--- @include "lib/seal"
-- Gives up the tree of seals that is recorded, so that a new one can begin with another key. It keeps
-- the record of the old one.
--
-- KEYS[1] log
-- ARGV[1] verifier  the public key of the new tree
-- Returns 1, or 0 if there was no tree
-- Errors  SEAL_KEY_USED (the key has signed a tree of this log)
-- Emits   nothing
local verifier = ARGV[1]

local record = seal_record()
if record.verifier == verifier or redis.call('HEXISTS', past_seals, verifier) == 1 then
  return redis.error_reply('SEAL_KEY_USED {}')
end
if not record.verifier then return 0 end
redis.call('HSET', past_seals, record.verifier, cjson.encode(record))
redis.call('DEL', seal)
return 1
