--- @include "lib/log"
--- @include "lib/json"
--- @include "lib/create"
--- @include "lib/task"
--- @include "lib/batch"
--- @include "lib/registered"
-- Creates tasks for the next items of a batch and saves the progress in the same step. The caller
-- passes at most 50 items.
--
-- The script changes nothing if the fencing token is not the newest one, or if the items are not
-- the next ones of the batch. So a repeated call, or a run that has lost the batch's lock, creates
-- no task twice.
--
-- KEYS[1] log
-- ARGV[1] context   members of the event's envelope as JSON text: actor, cause, trace
-- ARGV[2] batch     id of the batch
-- ARGV[3] token     the fencing token from coordinate_batch
-- ARGV[4] progress  number of items before these
-- ARGV[5] creator   name of the caller's token, or ''
-- ARGV[6] agent     name of the calling agent's token, '' if the caller may act for all
-- ARGV[7…] items    four values for each item: text, priority, metadata (or '') and sorted role set
--                   (or '')
-- Returns the method's result if the batch is finished or nothing was changed; '' if items remain
-- Errors  NOT_FOUND, CONFLICT (FLUSH_IN_PROGRESS, TOO_MANY_ROLE_SETS)
-- Emits   task.created for each item, then batch.progressed; batch.completed after the last item
local batch, token, progress, creator, agent = ARGV[2], ARGV[3], ARGV[4], ARGV[5], ARGV[6]
local first_item = 7

local refused = open_log()
if refused then return refused end
local status = redis.call('HMGET', batch_key(batch, 'status'), 'state', 'token', 'total')
if not status[1] then return no_task(batch) end
local total = status[3]
if status[2] ~= token or status[1] == 'completed' or redis.call('GET', batch_key(batch, 'progress')) ~= progress then
  return batch_answer(batch, status[1], total)
end

local count, new_sets, sets = 0, 0, {}
for i = first_item, #ARGV, 4 do
  local roleset = ARGV[i + 3]
  count = count + 1
  if roleset ~= '' and not sets[roleset] then
    sets[roleset] = true
    if not roleset_exists(roleset) then new_sets = new_sets + 1 end
  end
end
refused = refuse_rolesets(new_sets, nil, agent)
if refused then return refused end

for i = first_item, #ARGV, 4 do create(ARGV[i], ARGV[i + 1], ARGV[i + 2], ARGV[i + 3], creator, agent) end
local processor = redis.call('GET', batch_key(batch, 'processor'))
progress = int(progress + count)
local payload = '{"batchId":' .. quote(batch) .. ',' .. batch_members(processor, progress, total)
local n = emit('batch.progressed', payload)
if progress == total then n = emit('batch.completed', payload) end
sign_of_life(processor)
if progress ~= total then
  redis.call('HSET', batch_key(batch, 'status'), 'seq', n)
  hold_batch(batch, token, processor, progress)
  return ''
end
redis.call('HSET', batch_key(batch, 'status'), 'state', 'completed', 'seq', n)
hold_batch(batch, token, processor, progress)
redis.call('DEL', batch_key(batch, 'lock'))
return batch_answer(batch, 'completed', total)
