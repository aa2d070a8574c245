--- @include "lib/seal"
-- Records a signed checkpoint before it is published. From then on, no other tree can be signed for
-- this log with this key. Recording the same checkpoint again changes nothing.
--
-- KEYS[1] log
-- ARGV[1] holder    the coordinator, which must hold the lease
-- ARGV[2] verifier  the public key
-- ARGV[3] identity  of the log
-- ARGV[4] oldsize   size of the checkpoint that is recorded now; 0 for none
-- ARGV[5] oldroot   its root, '' for none
-- ARGV[6] size      of the new checkpoint
-- ARGV[7] root      its root
-- ARGV[8] last      ID of the last sealed event, '' for none
-- ARGV[9] note      the signed checkpoint
-- Returns 1
-- Errors  LEASE_LOST, SEAL_MOVED (the record is another), SEAL_STOPPED, SEAL_KEY_USED (for a tree
--         that was given up), LOG_ROLLED_BACK (the log lacks the event)
-- Emits   nothing
local holder, verifier, identity, oldsize, oldroot = ARGV[1], ARGV[2], ARGV[3], ARGV[4], ARGV[5]
local size, root, last, note = ARGV[6], ARGV[7], ARGV[8], ARGV[9]

if redis.call('GET', prefix .. 'service:lease:seal') ~= holder then
  return redis.error_reply('LEASE_LOST {}')
end
if log_identity ~= identity then
  return redis.error_reply('SEAL_MOVED {}')
end
if redis.call('HEXISTS', past_seals, verifier) == 1 then
  return redis.error_reply('SEAL_KEY_USED {}')
end
local record = seal_record()
if record.stopped then
  return redis.error_reply('SEAL_STOPPED {}')
end
if record.verifier then
  if record.verifier ~= verifier then
    return redis.error_reply('SEAL_MOVED {}')
  end
  if record.size == size and record.root == root then return 1 end
  if record.size ~= oldsize or record.root ~= oldroot then
    return redis.error_reply('SEAL_MOVED {}')
  end
elseif oldsize ~= '0' or oldroot ~= '' then
  return redis.error_reply('SEAL_MOVED {}')
end
if not log_has(last) then
  return redis.error_reply('LOG_ROLLED_BACK {}')
end
redis.call('HSET', seal, 'verifier', verifier, 'identity', identity, 'size', size, 'root', root, 'last', last, 'note', note,
  'at', int(clock))
return 1
