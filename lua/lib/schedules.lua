--- @include "lib/space"
--- @include "lib/iso"
--- @include "lib/json"
-- Schedules. The hash of a schedule holds what schedule.put was given, with the arguments of create
-- (lib/create) for its tasks, and what has become of its ticks:
--
--   next        the next tick in ms; none while the schedule is paused
--   version     seq of the last schedule.changed event
--   lastTick    the last tick in ms; lastTask and lastError are its task, or why there is none
--   fired       number of ticks that made a task
--
-- schedules:ids holds the ids of all schedules, for pages in the order of their bytes, and
-- schedules:next those that are not paused, by their next tick.

-- read_schedule returns a schedule's fields by name, or nil if it does not exist. Fields that are not
-- set are false.
local function read_schedule(id)
  local s = redis.call('HMGET', prefix .. 'schedule:' .. id, 'id', 'cron', 'timezone', 'catchUp', 'paused', 'text', 'priority',
    'metadata', 'roleset', 'creator', 'next', 'version', 'lastTick', 'lastTask', 'lastError', 'fired', 'createdAt', 'updatedAt', 'at',
    'delay', 'options')
  if not s[1] then return nil end
  return { id = s[1], cron = s[2], timezone = s[3], catchUp = s[4], paused = s[5] == '1', text = s[6], priority = s[7], metadata = s[8],
    roleset = s[9], creator = s[10], next = s[11], version = s[12], lastTick = s[13], lastTask = s[14], lastError = s[15],
    fired = s[16] or '0', createdAt = s[17], updatedAt = s[18], at = s[19], delay = s[20], options = s[21] }
end

-- moment returns a time in ms as JSON text, or null if it is missing.
local function moment(ms)
  return ms and '"' .. iso(tonumber(ms)) .. '"' or 'null'
end

-- task_params returns the params of task.create of a schedule as JSON text, with all defaults.
local function task_params(s)
  local text = '{"text":' .. quote(s.text) .. ',"priority":' .. s.priority
  if s.metadata ~= '' then text = text .. ',"metadata":' .. s.metadata end
  if s.at ~= '' then text = text .. ',"runAt":' .. moment(s.at) end
  if s.delay ~= '' then text = text .. ',"delayMs":' .. s.delay end
  if s.options ~= '' then text = text .. ',' .. string.sub(s.options, 2, -2) end
  return text .. '}'
end

-- schedule_members returns the members of a schedule that schedule.put sets, without the closing
-- brace.
local function schedule_members(s)
  return '{"id":' .. quote(s.id) .. ',"cron":' .. quote(s.cron) .. ',"timezone":' .. quote(s.timezone) .. ',"task":' .. task_params(s)
    .. ',"paused":' .. tostring(s.paused) .. ',"catchUp":"' .. s.catchUp .. '"'
end

-- schedule_object returns the API's object of a schedule.
local function schedule_object(s)
  return schedule_members(s) .. ',"nextTick":' .. moment(s.next) .. ',"lastTick":' .. moment(s.lastTick) .. ',"lastTask":' .. quoted(s.lastTask)
    .. ',"lastError":' .. raw(s.lastError) .. ',"fired":' .. s.fired .. ',"createdAt":"' .. s.createdAt .. '","updatedAt":"' .. s.updatedAt .. '"}'
end

-- no_schedule returns the error reply for an id that does not exist.
local function no_schedule(id)
  return redis.error_reply('NOT_FOUND {"id":' .. quote(id) .. '}')
end
