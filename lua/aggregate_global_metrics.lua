--- @include "lib/space"
--- @include "lib/flush_deleting"
--- @include "lib/identity"
-- Applies a batch of events to the metrics and saves the checkpoint in one step. Go code folds the
-- events into changes. This script makes the changes, because they must be atomic with the
-- checkpoint.
--
-- KEYS[1] log
-- ARGV[1] expected    checkpoint that the batch starts from; "" for the start of the log; "*" to
--                     check neither the checkpoint nor the log's identity
-- ARGV[2] checkpoint  after the batch; "" to save none, with anew "1": this only deletes the
--                     metrics
-- ARGV[3] anew        "1" to delete the metrics before the changes, else "0"
-- ARGV[4] place       "" for the live metrics, "rebuild:" for their second place (lib/second_place)
-- ARGV[5…] change     four values for each change: kind, hash, field, value. The hash is the part
--                     of the key after `metrics:`. Kinds: "+" adds; "=" sets; "^" sets if the value
--                     is greater; "@" adds to a slot of a ring (the value is `turn:count`; a slot
--                     of another turn starts again); "?" adds if the field exists; "join" creates
--                     the counters of the instance in field if they do not exist; "new" sets them
--                     to zero; "leave" removes them
-- Returns 1
-- Errors  FOREIGN_LOG {stored, log}, CHECKPOINT_MOVED {checkpoint}, CONFLICT (FLUSH_IN_PROGRESS,
--         only while the flush deletes keys)
-- Emits   nothing
local expected, checkpoint, anew, place = ARGV[1], ARGV[2], ARGV[3], ARGV[4]
local first_change = 5
local saved_at = prefix .. place .. 'service:checkpoint:metrics'
local hashes = prefix .. place .. 'metrics:'
local by_instance = { 'assigned.', 'claimed.', 'completed.', 'failed.' }

local refused = refuse_while_deleting()
if refused then return refused end
if expected ~= '*' then
  refused = refuse_foreign_log(redis.call('HGET', hashes .. 'global', 'log'))
  if refused then return refused end
  local stored = redis.call('GET', saved_at) or ''
  if stored ~= expected then return redis.error_reply('CHECKPOINT_MOVED {"checkpoint":"' .. stored .. '"}') end
end

if anew == '1' then
  for _, field in ipairs(redis.call('HKEYS', hashes .. 'global')) do
    if string.sub(field, 1, 7) == 'events.' then
      redis.call('UNLINK', hashes .. 'events:' .. string.sub(field, 8))
    end
  end
  redis.call('UNLINK', saved_at, hashes .. 'global', hashes .. 'queues', hashes .. 'scaling', hashes .. 'minutes')
end
for i = first_change, #ARGV, 4 do
  local kind, hash, field, value = ARGV[i], hashes .. ARGV[i + 1], ARGV[i + 2], ARGV[i + 3]
  if kind == '+' then
    redis.call('HINCRBY', hash, field, value)
  elseif kind == '=' then
    redis.call('HSET', hash, field, value)
  elseif kind == '^' then
    local held = redis.call('HGET', hash, field)
    if not held or tonumber(held) < tonumber(value) then
      redis.call('HSET', hash, field, value)
    end
  elseif kind == '@' then
    local turn, count = string.match(value, '^(%d+):(%d+)$')
    local held_turn, held = string.match(redis.call('HGET', hash, field) or '', '^(%d+):(%d+)$')
    if held_turn == turn then
      count = int(held + count)
    end
    redis.call('HSET', hash, field, turn .. ':' .. count)
  elseif kind == '?' then
    if redis.call('HEXISTS', hash, field) == 1 then
      redis.call('HINCRBY', hash, field, value)
    end
  else
    for _, counter in ipairs(by_instance) do
      if kind == 'join' then
        redis.call('HSETNX', hash, counter .. field, 0)
      elseif kind == 'new' then
        redis.call('HSET', hash, counter .. field, 0)
      else
        redis.call('HDEL', hash, counter .. field)
      end
    end
  end
end
if checkpoint ~= '' then
  redis.call('SET', saved_at, checkpoint)
  if log_identity then redis.call('HSET', hashes .. 'global', 'log', log_identity) end
end
return 1
