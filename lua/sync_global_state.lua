--- @include "lib/space"
--- @include "lib/flush_deleting"
--- @include "lib/identity"
-- Applies a batch of events to the global state and saves the checkpoint in one step. Go code folds
-- the events into changes. This script makes the changes, because they must be atomic with the
-- checkpoint.
--
-- KEYS[1] log
-- ARGV[1] expected    checkpoint that the batch starts from; "" for the start of the log; "*" to
--                     check neither the checkpoint nor the log's identity
-- ARGV[2] checkpoint  after the batch; "" to save none, with anew "1": this only deletes the state
-- ARGV[3] anew        "1" to delete the state before the changes, else "0"
-- ARGV[4] place       "" for the live state, "rebuild:" for its second place (lib/second_place)
-- ARGV[5…] change     three values for each change: kind, field, value. Kinds: "+" adds; "~" adds,
--                     and removes the field at zero; "=" sets; "-" removes the field if it has the
--                     value; "x" removes it
-- Returns 1
-- Errors  FOREIGN_LOG {stored, log}, CHECKPOINT_MOVED {checkpoint}, CONFLICT (FLUSH_IN_PROGRESS,
--         only while the flush deletes keys)
-- Emits   nothing
local expected, checkpoint, anew, place = ARGV[1], ARGV[2], ARGV[3], ARGV[4]
local first_change = 5
local state = prefix .. place .. 'state:global'

local refused = refuse_while_deleting()
if refused then return refused end
if expected ~= '*' then
  local held = redis.call('HMGET', state, 'checkpoint', 'log')
  refused = refuse_foreign_log(held[2])
  if refused then return refused end
  local stored = held[1] or ''
  if stored ~= expected then return redis.error_reply('CHECKPOINT_MOVED {"checkpoint":"' .. stored .. '"}') end
end

if anew == '1' then
  redis.call('UNLINK', state)
end
for i = first_change, #ARGV, 3 do
  local kind, field, value = ARGV[i], ARGV[i + 1], ARGV[i + 2]
  if kind == '+' then
    redis.call('HINCRBY', state, field, value)
  elseif kind == '~' then
    if redis.call('HINCRBY', state, field, value) == 0 then
      redis.call('HDEL', state, field)
    end
  elseif kind == '=' then
    redis.call('HSET', state, field, value)
  elseif kind == 'x' or redis.call('HGET', state, field) == value then
    redis.call('HDEL', state, field)
  end
end
if checkpoint ~= '' then
  redis.call('HSET', state, 'checkpoint', checkpoint)
  if log_identity then redis.call('HSET', state, 'log', log_identity) end
end
return 1
