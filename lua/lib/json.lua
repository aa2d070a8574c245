-- Builds JSON text from values of users and from values that may be missing.

local plain_slash = { ['/'] = '/' }

-- quote returns a string as a JSON string.
local function quote(s)
  local text = cjson.encode(s)
  -- cjson writes '/' as '\/'. The pattern matches each escape, because '\\/' is an escaped '\'
  -- before a '/' and must stay.
  if string.find(text, '\\/', 1, true) then text = string.gsub(text, '\\(.)', plain_slash) end
  return text
end

-- quote_name is quote for strings that repeat, such as an instance's id. It keeps the last result.
local name, name_text
local function quote_name(s)
  if s ~= name then name, name_text = s, quote(s) end
  return name_text
end

-- quoted returns a string as a JSON string, or null if it is missing (nil, false or empty).
local function quoted(s)
  if not s or s == '' then return 'null' end
  return quote(s)
end

-- raw returns JSON text unchanged, or null if it is missing (nil, false or empty).
local function raw(s)
  if not s or s == '' then return 'null' end
  return s
end
