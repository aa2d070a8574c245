-- Who may take a task: an instance that has every role the task asks for.

-- role_table turns a JSON array of roles into a table with each role as a key.
local function role_table(roles)
  local set = {}
  for _, role in ipairs(cjson.decode(roles)) do set[role] = true end
  return set
end

-- fits reports whether an instance's roles (a role_table) hold all of a set (a JSON array, or nil
-- for none).
local function fits(roles, roleset)
  if not roleset or roleset == '' then return true end
  for _, role in ipairs(cjson.decode(roleset)) do
    if not roles[role] then return false end
  end
  return true
end
