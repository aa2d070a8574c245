--- @include "lib/json"
--- @include "lib/space"
-- unfinished_needs looks at the tasks that a new task depends on. It returns the ids of those that are
-- not finished; the first one that has ended otherwise than completed, as {id, status}, or nil; and
-- an error reply if one does not exist.
local function unfinished_needs(ids)
  local waits_for, ended = {}, nil
  for _, id in ipairs(ids) do
    local t = redis.call('HMGET', prefix .. 'task:' .. id, 'status', 'completedAt')
    if not t[1] then return nil, nil, redis.error_reply('NOT_FOUND {"id":' .. quote(id) .. '}') end
    if not t[2] then
      waits_for[#waits_for + 1] = id
    elseif t[1] ~= 'completed' then
      ended = ended or { id, t[1] }
    end
  end
  return waits_for, ended
end
