-- The namespace's prefix, found from the key of the log's hash.
local prefix = string.sub(KEYS[1], 1, -4)

-- int writes a whole number in full; tostring keeps 14 digits only.
local function int(n)
  return string.format('%d', n)
end
