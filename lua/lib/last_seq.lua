--- @include "lib/space"
-- last_seq returns the seq of the log's last event. All that the script reads is the state after
-- that event.
local function last_seq()
  local seq = redis.call('HGET', KEYS[1], 'seq')
  if seq then return seq end
  local last = redis.call('XREVRANGE', prefix .. 'stream:events', '+', '-', 'COUNT', 1)[1]
  return last and string.match(last[1], '-(%d+)$') or '0'
end
