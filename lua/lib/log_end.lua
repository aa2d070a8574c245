--- @include "lib/guard"
--- @include "lib/fence"
-- log_end counts a call of a method that reads the view in Postgres, and returns the ID of the log's
-- last event, so that the caller can wait until the view has applied it.
local function log_end(subject, calls)
  local refused = fenced() or limit(subject, calls)
  if refused then return refused end
  -- If the log's hash is lost, its stream still has the last event.
  local log = redis.call('HMGET', KEYS[1], 'ms', 'seq')
  if log[1] and log[2] then return log[1] .. '-' .. log[2] end
  local last = redis.call('XREVRANGE', prefix .. 'stream:events', '+', '-', 'COUNT', 1)[1]
  return last and last[1] or '0-0'
end
