-- Reads fields of hashes into tables, for replies in JSON. An empty table would be ambiguous,
-- because cjson cannot distinguish an empty object from an empty array. The functions return nil
-- instead.

-- fields returns the named fields of a hash, without those that are not set.
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
