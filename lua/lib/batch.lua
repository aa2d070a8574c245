--- @include "lib/space"
--- @include "lib/json"
-- A batch: who works on it, under which fencing token, and how far it is.

local batch_lock = 60000     -- ms; each chunk renews it
local batch_kept = 604800000 -- ms that a batch is known after its last chunk, finished or not

-- batch_key is one of a batch's four keys: lock, processor, progress, status.
local function batch_key(batch, part)
  return prefix .. 'batch:' .. batch .. ':' .. part
end

-- hold_batch takes or renews the lock, and keeps all that is known of the batch.
local function hold_batch(batch, token, processor, progress)
  redis.call('SET', batch_key(batch, 'lock'), token, 'PX', batch_lock)
  redis.call('SET', batch_key(batch, 'processor'), processor, 'PX', batch_kept)
  redis.call('SET', batch_key(batch, 'progress'), progress, 'PX', batch_kept)
  redis.call('PEXPIRE', batch_key(batch, 'status'), batch_kept)
end

-- batch_members is how far a batch is, as its events and answers tell it.
local function batch_members(processor, progress, total)
  return '"processorId":' .. quote(processor) .. ',"itemsProcessed":' .. progress .. ',"total":' .. total .. '}'
end

-- batch_answer is the method's result for a batch that is finished, or that somebody else works on.
local function batch_answer(batch, state, total)
  return '{"processed":' .. (state == 'completed' and 'true' or 'false') .. ','
    .. batch_members(redis.call('GET', batch_key(batch, 'processor')), redis.call('GET', batch_key(batch, 'progress')), total)
end
