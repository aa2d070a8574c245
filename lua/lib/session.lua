--- @include "lib/space"
-- The index of the sessions of registered instances: which instance it is whose metadata.sessionId
-- is a session. A session that several instances registered with is the last one's.

local session_kept = '604800000' -- ms without a registration or a hook, a week

-- session_instance returns the instance of a session, or false.
local function session_instance(session)
  return redis.call('GET', prefix .. 'session:' .. session)
end

-- remember_session stores the session of an instance that registers.
local function remember_session(session, id)
  redis.call('SET', prefix .. 'session:' .. session, id, 'PX', session_kept)
end

-- forget_session removes the session of an instance, false for none, unless it is another one's.
local function forget_session(session, id)
  if session and session_instance(session) == id then redis.call('UNLINK', prefix .. 'session:' .. session) end
end
