-- prefix is the common prefix of the namespace's keys, derived from the key of the log's hash.
local prefix = string.sub(KEYS[1], 1, -4)

-- int returns a whole number as text with all its digits; tostring keeps only 14.
local function int(n)
  return string.format('%d', n)
end
