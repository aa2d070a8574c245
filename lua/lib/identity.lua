--- @include "lib/json"
-- The log's identity. A projection stores it with its checkpoint, because the checkpoint of another
-- log means nothing in this one.

-- log_identity is false if the log's hash was lost, until a coordinator starts.
local log_identity = redis.call('HGET', KEYS[1], 'identity')

-- refuse_foreign_log returns an error reply if a projection stored the identity of another log.
local function refuse_foreign_log(stored)
  if stored and log_identity and stored ~= log_identity then
    return redis.error_reply('FOREIGN_LOG {"stored":' .. quote(stored) .. ',"log":' .. quote(log_identity) .. '}')
  end
end
