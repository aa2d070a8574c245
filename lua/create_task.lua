--- @include "lib/log"
--- @include "lib/guard"
--- @include "lib/idempotency"
--- @include "lib/create"
--- @lazy "lib/new_task"
-- Creates a task and puts it into its waiting queue.
--- @lot 32
--
-- KEYS[1] log
-- ARGV[1] context   members of the event's envelope as JSON text: actor, cause, trace
-- ARGV[2] subject   key of the rate limit, method:actor
-- ARGV[3] calls     calls a minute, 0 for no limit; further lines hold other limits (lib/guard)
-- ARGV[4] key       hash of the idempotency key, '' for none
-- ARGV[5] digest    of the params
-- ARGV[6] text
-- ARGV[7] priority
-- ARGV[8] metadata  JSON text, or ''
-- ARGV[9] roleset   role set of the task as a sorted JSON array, or ''
-- ARGV[10] creator   name of the caller's token, or ''
-- ARGV[11] agent     name of the calling agent's token, '' if the caller may act for all
-- ARGV[12] extras    JSON object of what a plain task does not have (lib/new_task), '' for a plain task
-- Returns the task object, of a plain task without the members that are alike in every new one
--         (lib/create); with created: false for the unfinished task that has the same uniqueKey
-- Errors  RATE_LIMITED, NOT_FOUND (a task to depend on), CONFLICT (FLUSH_IN_PROGRESS, IDEMPOTENCY_KEY_REUSED, TOO_MANY_ROLE_SETS)
-- Emits   task.created; task.cancelled if it depends on a task that has failed or was cancelled;
--         task.unblocked if another task has its turn by that
local subject, calls = ARGV[2], ARGV[3]
local key, digest = ARGV[4], ARGV[5]
local text, priority, metadata, roleset, creator, agent = ARGV[6], ARGV[7], ARGV[8], ARGV[9], ARGV[10], ARGV[11]
local extras = ARGV[12]

local refused = open_log()
if refused then return refused end
refused = limit(subject, calls)
if refused then return refused end
local kept
kept, refused = recall(key, digest)
if refused then return refused end
if kept then return is_whole(kept) and kept or rare().created_again(cjson.decode(kept), text, priority, metadata, extras) end

local answer, id, more
if extras == '' then
  refused = refuse_roleset(roleset, nil, agent)
  if refused then return refused end
  answer, id = create(text, priority, metadata, roleset, creator, agent)
else
  answer, id, more, refused = rare().create_with_extras(text, priority, metadata, roleset, creator, agent, extras)
  if refused then return refused end
end
remember(key, digest, more or '{"id":"' .. id .. '","createdAt":"' .. at .. '"}')
return answer
