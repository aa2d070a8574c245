--- @include "lib/guard"
-- The rate limit for the bytes of answers. Users decide how long a task is, so a short call that is
-- repeated can transfer any number of bytes. If the argument calls holds a limit for the bytes of
-- answers, the function limit refuses calls once it is reached. counted_answer counts the bytes.

local free_bytes = 4096 -- answers up to this size do not count; the limit of calls bounds them

-- counted_answer returns an answer and counts its bytes.
local function counted_answer(calls, answer)
  local subject = #answer > free_bytes and string.match(calls, ' (answers:[^\n]+)$')
  if subject then count(window(subject), #answer) end
  return answer
end
