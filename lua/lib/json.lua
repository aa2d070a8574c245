-- JSON text of what users bring and of what may be missing.

-- quote gives a string as JSON. cjson writes every '/' as '\/'.
local function quote(s)
  return (string.gsub(cjson.encode(s), '\\/', '/'))
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
