--- @include "lib/space"
--- @include "lib/clock"
--- @include "lib/identity"
-- What Redis knows of the log's seals (internal/seal). A hash has the last checkpoint that was
-- signed, so that a folder that was restored from a backup cannot become a second, different tree:
--
--   verifier             the public key
--   identity             of the log
--   size, root, note     the signed checkpoint
--   last                 ID of the last sealed event, '' for none
--   at                   when it was signed, in ms
--   stopped, stoppedAt   why sealing has stopped, and when; only a new tree goes on
--
-- Another hash has the trees that were given up, by their public keys, because a key never signs a
-- second tree. A flush keeps both: audit belongs to none of the families that it deletes.

local seal = prefix .. 'audit:seal'
local past_seals = prefix .. 'audit:seal:past'

-- seal_record returns the fields of the record; it has none if the log has no seals.
local function seal_record()
  local list, found = redis.call('HGETALL', seal), {}
  for i = 1, #list, 2 do found[list[i]] = list[i + 1] end
  return found
end

-- log_has returns whether the log has an event, or whether a flush or trim has removed it.
local function log_has(id)
  if id == '' then return true end
  if #redis.call('XRANGE', prefix .. 'stream:events', id, id) > 0 then return true end
  return tonumber(string.match(id, '-(%d+)$')) < tonumber(redis.call('HGET', KEYS[1], 'base') or 0)
end
