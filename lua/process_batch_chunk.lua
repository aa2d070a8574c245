--- @include "lib/log"
--- @include "lib/json"
--- @include "lib/create"
--- @include "lib/task"
--- @include "lib/batch"
-- Makes the next items of a batch into tasks, at most 50, and saves how far it is in the same step.
-- It does so only for the last fencing token that was given out, and only for the items that are
-- next.
--
-- KEYS[1] log
-- ARGV[1] context   inside of the envelope: actor, cause, trace
-- ARGV[2] batch     its id
-- ARGV[3] token     the fencing token
-- ARGV[4] progress  how many items came before these
-- ARGV[5] creator   name of the caller's token, or ''
-- ARGV[6] agent     the same if it is an agent's, '' for who may act for all
-- ARGV[7…] items     of each its text, priority, metadata (or '') and sorted set of roles (or '')
-- Returns the method's result, once the batch is finished or somebody else has it; '' when there is more to do
-- Errors  NOT_FOUND, CONFLICT (FLUSH_IN_PROGRESS, TOO_MANY_ROLE_SETS)
-- Emits   task.created for each, then batch.progressed, and batch.completed with the last
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
if progress ~= total then
  redis.call('HSET', batch_key(batch, 'status'), 'seq', n)
  hold_batch(batch, token, processor, progress)
  return ''
end
n = emit('batch.completed', payload)
redis.call('HSET', batch_key(batch, 'status'), 'state', 'completed', 'seq', n)
hold_batch(batch, token, processor, progress)
redis.call('DEL', batch_key(batch, 'lock'))
return batch_answer(batch, 'completed', total)
