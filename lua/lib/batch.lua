--- @include "lib/space"
--- @include "lib/json"
-- A batch: its processor, fencing token and progress.

local batch_lock = 60000     -- ms; each chunk renews it
local batch_kept = 604800000 -- ms that a batch is kept after its last change, finished or not

-- batch_key returns one of a batch's keys. part is lock, processor, progress or status.
local function batch_key(batch, part)
  return prefix .. 'batch:' .. batch .. ':' .. part
end

-- hold_batch takes or renews the lock, writes the processor and the progress, and renews the expiry
-- of all keys.
local function hold_batch(batch, token, processor, progress)
  redis.call('SET', batch_key(batch, 'lock'), token, 'PX', batch_lock)
  redis.call('SET', batch_key(batch, 'processor'), processor, 'PX', batch_kept)
  redis.call('SET', batch_key(batch, 'progress'), progress, 'PX', batch_kept)
  redis.call('PEXPIRE', batch_key(batch, 'status'), batch_kept)
end

-- batch_members returns the last JSON members of a batch's events and answers, and the closing
-- brace.
local function batch_members(processor, progress, total)
  return '"processorId":' .. quote(processor) .. ',"itemsProcessed":' .. progress .. ',"total":' .. total .. '}'
end

-- batch_answer returns the method's result for a batch that is finished, or that the caller may not
-- process now.
local function batch_answer(batch, state, total)
  return '{"processed":' .. (state == 'completed' and 'true' or 'false') .. ','
    .. batch_members(redis.call('GET', batch_key(batch, 'processor')), redis.call('GET', batch_key(batch, 'progress')), total)
end
