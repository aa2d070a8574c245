--- @include "lib/space"
--- @include "lib/flush_deleting"
--- @include "lib/identity"
-- Adds what a batch of events counted to the metrics, and writes the checkpoint, in one step. What
-- the events mean is folded in Go; here is only what must be atomic.
--
-- KEYS[1] log
-- ARGV[1] expected    the checkpoint that the batch starts from, "" for the log's start, "*" for any, of whichever log
-- ARGV[2] checkpoint  after the batch; "" only deletes the metrics (anew is "1" then)
-- ARGV[3] anew        "1" when the metrics start anew before the changes, else "0"
-- ARGV[4…] change     four each: kind, hash, field, value. The hash is what follows `metrics:` in its key.
--                     Kinds: "+" adds, "=" sets, "^" keeps the greater, "@" counts in a ring's slot (value
--                     `turn:count`; a slot of another turn starts again), "?" adds if the field is there,
--                     "join" makes the counters of the instance in field if they are not there, "new" makes
--                     them zero, "leave" removes them
-- Returns 1
-- Errors  FOREIGN_LOG {stored, log}, CHECKPOINT_MOVED {checkpoint}, CONFLICT (FLUSH_IN_PROGRESS, once the flush deletes)
-- Emits   nothing
local expected, checkpoint, anew = ARGV[1], ARGV[2], ARGV[3]
local first_change = 4
local saved_at = prefix .. 'service:checkpoint:metrics'
local hashes = prefix .. 'metrics:'
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
  redis.call('UNLINK', saved_at, hashes .. 'global', hashes .. 'queues', hashes .. 'scaling')
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
