--- @include "lib/log"
--- @include "lib/guard"
--- @include "lib/json"
--- @include "lib/conflict"
--- @include "lib/ownership"
--- @include "lib/batch"
-- Takes a batch's lock for an instance, from where the last one to have it has got to; or tells how
-- a batch stands that is finished, or that another instance has the lock of. The instance that has
-- the lock takes it anew: each time gives another fencing token, and the one before is worth
-- nothing then. A batch belongs to the agent's token that began it; others are told nothing of it.
--
-- KEYS[1] log
-- ARGV[1] context   inside of the envelope: actor, cause, trace
-- ARGV[2] subject   method:actor of the rate limit
-- ARGV[3] calls     a minute and actor, 0 for no limit
-- ARGV[4] batch     its id
-- ARGV[5] instance  who would process it
-- ARGV[6] digest    of the items
-- ARGV[7] total     how many items
-- ARGV[8] agent     name of an agent's token, '' for who may act for all
-- Returns {'', token, progress} when the lock is taken, else {the method's result}
-- Errors  RATE_LIMITED, NOT_REGISTERED, UNAUTHORIZED, CONFLICT (FLUSH_IN_PROGRESS, BATCH_ITEMS_DIFFER)
-- Emits   batch.started when the lock is taken
local subject, calls = ARGV[2], ARGV[3]
local batch, instance, digest, total, agent = ARGV[4], ARGV[5], ARGV[6], ARGV[7], ARGV[8]

local refused = open_log()
if refused then return refused end
refused = limit(subject, calls)
if refused then return refused end
if redis.call('EXISTS', prefix .. 'instance:' .. instance) == 0 then
  return redis.error_reply('NOT_REGISTERED {"instanceId":' .. quote(instance) .. '}')
end
refused = foreign_instance(agent, instance)
if refused then return refused end

local status_key = batch_key(batch, 'status')
local status = redis.call('HMGET', status_key, 'state', 'digest', 'token', 'owner')
local token, progress, owner = '1', '0', agent
if status[1] then
  -- In older data it is the token of the instance that processes it.
  owner = status[4] or agent ~= '' and instance_owner(redis.call('GET', batch_key(batch, 'processor'))) or ''
  refused = foreign_name('batch', batch, owner, agent, instance)
  if refused then return refused end
  if status[2] ~= digest then return conflict('BATCH_ITEMS_DIFFER') end
  local locked = redis.call('EXISTS', batch_key(batch, 'lock')) == 1
  if status[1] == 'completed' or locked and redis.call('GET', batch_key(batch, 'processor')) ~= instance then
    return { batch_answer(batch, status[1], total) }
  end
  token, progress = int(status[3] + 1), redis.call('GET', batch_key(batch, 'progress'))
end

local n = emit('batch.started', '{"batchId":' .. quote(batch) .. ',' .. batch_members(instance, progress, total))
redis.call('HSET', status_key, 'state', 'processing', 'digest', digest, 'total', total, 'token', token, 'owner', owner, 'seq', n)
hold_batch(batch, token, instance, progress)
return { '', token, progress }
