--- @include "lib/space"
--- @include "lib/json"
--- @include "lib/extras"
-- The list of a task's last failures.

local most_failures_kept = 10
local longest_error_kept = 1000 -- bytes; of a longer one, the beginning is kept as a string

-- kept_error returns an error (JSON text) as the list holds it.
local function kept_error(failure)
  if #failure <= longest_error_kept then return raw(failure) end
  local ends = longest_error_kept
  while string.byte(failure, ends + 1) >= 128 and string.byte(failure, ends + 1) < 192 do ends = ends - 1 end
  return quote(string.sub(failure, 1, ends))
end

-- note_failed_try counts a failure of a task (a table of read_task) and adds it to the list. It
-- returns the fields to write, in the form of HSET.
local function note_failed_try(t, failure, failed_at)
  local list = '{"attempt":' .. t.attempt .. ',"workerId":' .. quote_name(t.assignedTo) .. ',"at":"' .. failed_at
    .. '","error":' .. kept_error(failure) .. '}'
  local kept = 1
  local earlier = t.errors or ''
  while earlier ~= '' and kept < most_failures_kept do
    local rest, last = string.match(earlier, '^(.*)\30([^\30]*)$')
    list = (last or earlier) .. '\30' .. list
    earlier = rest or ''
    kept = kept + 1
  end
  t.failures, t.errors, t.extras = int((t.failures or 0) + 1), list, '1'
  return { 'failures', t.failures, 'errors', list, 'extras', '1' }
end

-- failure_for returns the error of a try that failed for a reason of the coordinator's. more is JSON
-- text with further members.
local function failure_for(reason, more)
  return '{"reason":"' .. reason .. '",' .. more .. '}'
end
