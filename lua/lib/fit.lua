-- An instance may take a task if it has every role that the task requires.

-- role_table returns a table that has each role of a JSON array as a key.
local function role_table(roles)
  local set = {}
  for _, role in ipairs(cjson.decode(roles)) do set[role] = true end
  return set
end

-- fits reports whether an instance's roles (a role_table) include a role set (a JSON array; nil,
-- false or '' for none).
local function fits(roles, roleset)
  if not roleset or roleset == '' then return true end
  for _, role in ipairs(cjson.decode(roleset)) do
    if not roles[role] then return false end
  end
  return true
end
