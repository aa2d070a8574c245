-- Fields of hashes as tables, for replies in JSON. cjson cannot tell an empty object from an empty
-- array, so that an empty table is nil.

-- fields returns the fields of a hash that have one of the names.
local function fields(key, names)
  local found
  for i, value in ipairs(redis.call('HMGET', key, unpack(names))) do
    if value then
      found = found or {}
      found[names[i]] = value
    end
  end
  return found
end

-- all_fields returns all fields of a hash.
local function all_fields(key)
  local found
  local list = redis.call('HGETALL', key)
  for i = 1, #list, 2 do
    found = found or {}
    found[list[i]] = list[i + 1]
  end
  return found
end
