-- conflict is the error reply for a task in the wrong state; more is further members of its data.
local function conflict(reason, more)
  return redis.error_reply('CONFLICT {"reason":"' .. reason .. '"' .. (more and ',' .. more or '') .. '}')
end
