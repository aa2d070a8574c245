--- @include "lib/log"
--- @include "lib/guard"
--- @include "lib/json"
--- @include "lib/conflict"
--- @include "lib/ownership"
--- @include "lib/registered"
--- @include "lib/batch"
-- Takes the lock of a batch for an instance, so that only this instance creates the batch's tasks.
-- It creates the batch if there is none, or else continues where the last instance stopped. If the
-- batch is finished, or another instance holds the lock, the script takes no lock and returns the
-- state of the batch.
--
-- Each time the lock is taken, the batch gets a new fencing token, and process_batch_chunk no
-- longer accepts the old one, so a run that has lost the lock creates no more tasks. The instance
-- that holds the lock can take it again, and then also gets a new token.
--
-- A batch belongs to the agent's token that began it. A call with another agent's token is rejected
-- and learns nothing about the batch.
--
-- KEYS[1] log
-- ARGV[1] context   members of the event's envelope as JSON text: actor, cause, trace
-- ARGV[2] subject   key of the rate limit, method:actor
-- ARGV[3] calls     calls a minute, 0 for no limit; further lines hold other limits (lib/guard)
-- ARGV[4] batch     id of the batch
-- ARGV[5] instance  that wants to process the batch
-- ARGV[6] digest    of the items
-- ARGV[7] total     number of items
-- ARGV[8] agent     name of the calling agent's token, '' if the caller may act for all
-- Returns {'', fencing token, number of items that have tasks} if the lock is taken, else {the
--         method's result}
-- Errors  RATE_LIMITED, NOT_REGISTERED, UNAUTHORIZED, CONFLICT (FLUSH_IN_PROGRESS,
--         BATCH_ITEMS_DIFFER)
-- Emits   batch.started if the lock is taken
local subject, calls = ARGV[2], ARGV[3]
local batch, instance, digest, total, agent = ARGV[4], ARGV[5], ARGV[6], ARGV[7], ARGV[8]

local refused = open_log()
if refused then return refused end
refused = limit(subject, calls)
if refused then return refused end
if not registered(instance) then
  return redis.error_reply('NOT_REGISTERED {"instanceId":' .. quote(instance) .. '}')
end
refused = foreign_instance(agent, instance)
if refused then return refused end

local status_key = batch_key(batch, 'status')
local status = redis.call('HMGET', status_key, 'state', 'digest', 'token', 'owner')
local token, progress, owner = '1', '0', agent
if status[1] then
  -- A batch of an earlier version has no owner. The token of the instance that processes it counts
  -- as its owner.
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
sign_of_life(instance)
return { '', token, progress }
