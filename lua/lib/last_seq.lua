--- @include "lib/space"
-- last_seq returns the seq of the log's last event: all that a script reads stands as that event
-- left it.
local function last_seq()
  local seq = redis.call('HGET', KEYS[1], 'seq')
  if seq then return seq end
  local last = redis.call('XREVRANGE', prefix .. 'stream:events', '+', '-', 'COUNT', 1)[1]
  return last and string.match(last[1], '-(%d+)$') or '0'
end
