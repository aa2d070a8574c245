--- @include "lib/json"
-- The log's identity, which a projection keeps with its checkpoint: a checkpoint of another log
-- means nothing in this one.

-- log_identity is false in a log whose hash was lost, until a coordinator starts.
local log_identity = redis.call('HGET', KEYS[1], 'identity')

-- refuse_foreign_log returns an error reply when a projection follows another log than this one.
local function refuse_foreign_log(stored)
  if stored and log_identity and stored ~= log_identity then
    return redis.error_reply('FOREIGN_LOG {"stored":' .. quote(stored) .. ',"log":' .. quote(log_identity) .. '}')
  end
end
