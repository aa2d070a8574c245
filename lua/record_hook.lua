--- @include "lib/log"
--- @include "lib/guard"
--- @include "lib/json"
--- @include "lib/ownership"
--- @include "lib/session"
--- @include "lib/todos"
-- Records a hook of an agent's program: the event, the decision of the policy if there is one, and
-- what the hook says about the todos of its session. An agent's token changes only the todos that it
-- began, and its hooks name only its own instances.
--- @lot 16
--
-- KEYS[1] log
-- ARGV[1] context   members of the event's envelope as JSON text: actor, cause, trace
-- ARGV[2] subject   key of the rate limit, method:actor
-- ARGV[3] calls     calls a minute, 0 for no limit; further lines hold other limits (lib/guard)
-- ARGV[4] type      of the event
-- ARGV[5] hook      members of the payload before instanceId, as JSON text: source, name, sessionId
-- ARGV[6] rest      members of the payload after instanceId, as JSON text
-- ARGV[7] decided   members of hook.decided after instanceId, as JSON text, or ''
-- ARGV[8] session   id of the session, or ''
-- ARGV[9] agent     name of the calling agent's token, '' if the caller may act for all
-- ARGV[10] source   the program, as JSON
-- ARGV[11] change   what becomes of the session's todos: put, drop, replace, or '' for nothing
-- ARGV[12] todo     the todo's id as JSON; for replace the whole list
-- ARGV[13] text     the todo's text as JSON, '' if it does not change
-- ARGV[14] status   the todo's status, '' if it does not change
-- ARGV[15] dropped  number of todos that the list for replace leaves out
-- ARGV[16] kept     how long the todos are kept after a change, ms
-- Returns the method's result: {eventId}
-- Errors  RATE_LIMITED, CONFLICT (FLUSH_IN_PROGRESS)
-- Emits   the type; hook.decided if the policy decided; todo.updated if the todos changed
local subject, calls, type, hook, rest, decided = ARGV[2], ARGV[3], ARGV[4], ARGV[5], ARGV[6], ARGV[7]
local session, agent, source, change = ARGV[8], ARGV[9], ARGV[10], ARGV[11]
local todo, text, status, dropped, kept = ARGV[12], ARGV[13], ARGV[14], tonumber(ARGV[15]), ARGV[16]

local refused = open_log() or limit(subject, calls)
if refused then return refused end
local instance = session ~= '' and session_instance(session)
if instance and agent ~= '' and instance_owner(instance) ~= agent then instance = false end
local of_instance = ',"instanceId":' .. quoted(instance) .. ','
local key, before, after = prefix .. 'todo:' .. session, false, false
if change ~= '' then
  local stored = redis.call('HMGET', key, 'todos', 'dropped', 'owner')
  before = stored[1] or '[]'
  if not stored[1] or agent == '' or stored[3] == agent then
    local list = read_todos(change == 'replace' and todo or before)
    if change ~= 'replace' then
      change_todos(list, change, todo, text, status)
      dropped = tonumber(stored[2] or 0)
    end
    local left_out
    after, left_out = write_todos(list)
    dropped = dropped + left_out
  end
end

emit(type, '{' .. hook .. of_instance .. rest .. '}')
local recorded = event_id
if decided ~= '' then emit('hook.decided', '{' .. hook .. of_instance .. decided .. '}') end
if after and after ~= before then
  emit('todo.updated', '{"source":' .. source .. ',"sessionId":' .. quote(session) .. of_instance .. '"todos":' .. after
    .. ',"dropped":' .. int(dropped) .. '}')
  redis.call('HSET', key, 'todos', after, 'dropped', int(dropped), 'updatedAt', at)
  if agent ~= '' then redis.call('HSETNX', key, 'owner', agent) end
  redis.call('PEXPIRE', key, kept)
end
if instance then redis.call('PEXPIRE', prefix .. 'session:' .. session, session_kept) end
return '{"eventId":"' .. recorded .. '"}'
