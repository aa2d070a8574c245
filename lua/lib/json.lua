-- JSON text of what users bring and of what may be missing.

-- Redis' cjson writes '/' as '\/', the embedded one's does not: there a '\/' is the end of an escaped '\'.
local slash_escaped = cjson.encode('/') == '"\\/"'

-- quote gives a string as JSON.
local function quote(s)
  local text = cjson.encode(s)
  if slash_escaped and string.find(text, '/', 1, true) then text = string.gsub(text, '\\/', '/') end
  return text
end

-- quoted gives a string as JSON, or null when it is missing (nil, false or empty).
local function quoted(s)
  if not s or s == '' then return 'null' end
  return quote(s)
end

-- raw gives JSON text as it is, or null when it is missing.
local function raw(s)
  if not s or s == '' then return 'null' end
  return s
end
