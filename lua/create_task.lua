--- @include "lib/log"
--- @include "lib/guard"
--- @include "lib/idempotency"
--- @include "lib/create"
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
-- ARGV[10] creator  name of the caller's token, or ''
-- ARGV[11] agent    name of the calling agent's token, '' if the caller may act for all
-- ARGV[12] at       when the task becomes claimable, ms since 1970; '' for at once
-- ARGV[13] delay    how long until then, ms, instead of at; '' for none
-- ARGV[14] options  JSON object with all defaults (lib/extras), '' for a task without options
-- Returns the task object, with created
-- Errors  RATE_LIMITED, CONFLICT (FLUSH_IN_PROGRESS, IDEMPOTENCY_KEY_REUSED, TOO_MANY_ROLE_SETS)
-- Emits   task.created
local subject, calls = ARGV[2], ARGV[3]
local key, digest = ARGV[4], ARGV[5]
local text, priority, metadata, roleset, creator, agent = ARGV[6], ARGV[7], ARGV[8], ARGV[9], ARGV[10], ARGV[11]
local run_at, delay, options = ARGV[12], ARGV[13], ARGV[14]

local refused = open_log()
if refused then return refused end
refused = limit(subject, calls)
if refused then return refused end
if options == '' then options = nil end
local kept
kept, refused = recall(key, digest)
if refused then return refused end
if kept then
  if is_whole(kept) then return kept end
  local first = cjson.decode(kept)
  local members = created_members(first.id, first.createdAt, text, priority, metadata, first.status or 'pending')
  return created_object(members, first.runAt, options)
end
refused = refuse_roleset(roleset, nil, agent)
if refused then return refused end

if delay ~= '' then run_at = int(clock + delay) end
if run_at == '' then run_at = nil end
local object, id, status = create(text, priority, metadata, roleset, creator, agent, run_at, options)
local more = run_at and ',"status":"' .. status .. '","runAt":"' .. run_at .. '"' or ''
remember(key, digest, '{"id":"' .. id .. '","createdAt":"' .. at .. '"' .. more .. '}')
return object
