-- conflict returns an error reply with the code CONFLICT. more is JSON text with further members of
-- its data, or nil.
local function conflict(reason, more)
  return redis.error_reply('CONFLICT {"reason":"' .. reason .. '"' .. (more and ',' .. more or '') .. '}')
end
