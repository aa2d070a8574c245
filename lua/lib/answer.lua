--- @include "lib/guard"
-- The bytes of answers. Tasks are as long as their users made them, so a short call that is made
-- again and again may move any number of bytes. Where calls has a limit for the bytes of answers,
-- limit refuses a call beyond it, and counted_answer adds to it.

local free_bytes = 4096 -- answers of up to so many do not count: the limit of calls bounds them

-- counted_answer returns an answer, and counts its bytes.
local function counted_answer(calls, answer)
  local subject = #answer > free_bytes and string.match(calls, ' (answers:[^\n]+)$')
  if subject then count(window(subject), #answer) end
  return answer
end
