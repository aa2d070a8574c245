--- @include "lib/finish"
--- @include "lib/failed_tries"
-- fail fails a claimed task for good. failure is JSON text or ''. context is that of the event, nil
-- for the caller's. The other parameters are those of complete. Emits task.failed.
local function fail(t, result, failure, retention, context)
  local fields = note_failed_try(t, failure, at)
  local n = emit('task.failed', end_members(t, 'failed', result) .. ',"error":' .. raw(failure)
    .. ',"previousStatus":"in_progress","completedAt":"' .. at .. '","failures":' .. t.failures
    .. (t.losses and ',"losses":' .. t.losses or '') .. '}', context, '2')
  local function set(name, value)
    fields[#fields + 1] = name
    fields[#fields + 1] = value
  end
  if t.losses then set('losses', t.losses) end
  if result ~= '' then set('result', result) end
  if failure ~= '' then set('error', failure) end
  ended(t, 'failed', n, fields, retention, context)
  t.result, t.error = result, failure
end
