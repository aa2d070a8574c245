-- JSON text of what users bring and of what may be missing.

local escapes = { ['"'] = '\\"', ['\\'] = '\\\\' }

-- quote gives a string as JSON. Not by cjson, which writes '/' as '\/', and other letters otherwise
-- elsewhere.
local function quote(s)
  return '"' .. string.gsub(s, '[%c"\\]', function(c)
    return escapes[c] or string.format('\\u%04x', string.byte(c))
  end) .. '"'
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
