-- JSON text of what users bring and of what may be missing.

local plain_slash = { ['/'] = '/' }

-- quote returns a string as JSON.
local function quote(s)
  local text = cjson.encode(s)
  -- cjson writes '/' as '\/'. Escapes are matched one by one, since '\\/' is an escaped '\' before
  -- a '/'.
  if string.find(text, '\\/', 1, true) then text = string.gsub(text, '\\(.)', plain_slash) end
  return text
end

-- quote_name is quote for what comes again and again, such as an instance's id.
local name, name_text
local function quote_name(s)
  if s ~= name then name, name_text = s, quote(s) end
  return name_text
end

-- quoted returns a string as JSON, or null when it is missing (nil, false or empty).
local function quoted(s)
  if not s or s == '' then return 'null' end
  return quote(s)
end

-- raw returns JSON text as it is, or null when it is missing.
local function raw(s)
  if not s or s == '' then return 'null' end
  return s
end
