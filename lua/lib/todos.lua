--- @include "lib/log"
-- The todos of a session, in the hash todo:<session>. Its field todos is a JSON array of
-- {"id","text","status"} in the order of their creation. Ids and texts are JSON strings that pass
-- unchanged: no JSON string contains what stands between two members here, because it would escape
-- the quotes.

local most_todos, longest_todos = 200, 32768 -- entries of a list, bytes of its JSON text

-- read_todos returns the todos of a JSON array as lists of id, text and status.
local function read_todos(array)
  local list = {}
  for id, words, status in string.gmatch(array, '{"id":(".-"),"text":(".-"),"status":"([a-z_]+)"}') do
    list[#list + 1] = { id, words, status }
  end
  return list
end

-- write_todos returns the todos as a JSON array, and how many it left out because of the limits:
-- completed ones first, the oldest first.
local function write_todos(list)
  local items, size, dropped = {}, 1, 0
  for i, t in ipairs(list) do
    items[i] = '{"id":' .. t[1] .. ',"text":' .. t[2] .. ',"status":"' .. t[3] .. '"}'
    size = size + #items[i] + 1
  end
  local left = #items
  for _, only in ipairs({ 'completed', 'any' }) do
    for i, t in ipairs(list) do
      if left <= most_todos and size <= longest_todos then break end
      if items[i] and (only == 'any' or t[3] == only) then
        size, left, dropped = size - #items[i] - 1, left - 1, dropped + 1
        items[i] = false
      end
    end
  end
  local kept = {}
  for i = 1, #list do
    if items[i] then kept[#kept + 1] = items[i] end
  end
  return '[' .. table.concat(kept, ',') .. ']', dropped
end

-- change_todos applies a change to a list. words and status are '' if they do not change.
local function change_todos(list, change, id, words, status)
  for i, t in ipairs(list) do
    if t[1] == id then
      if change == 'drop' then
        table.remove(list, i)
        return
      end
      if words ~= '' then t[2] = words end
      if status ~= '' then t[3] = status end
      return
    end
  end
  if change == 'put' then
    list[#list + 1] = { id, words ~= '' and words or '""', status ~= '' and status or 'pending' }
  end
end
