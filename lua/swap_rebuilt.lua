--- @include "lib/second_place"
-- Replaces the live view of a projection into Redis by its second place, in one step. Nothing changes
-- unless the second place is where the rebuild has left it, no flush has run since the rebuild began,
-- and the live view is not further than the second place.
--
-- KEYS[1] log
-- ARGV[1] name        of the projection: state or metrics
-- ARGV[2] holder      of the lease rebuild:<name>
-- ARGV[3] checkpoint  of the second place; "" for none
-- ARGV[4] identity    of the log when the rebuild began; "" for none
-- ARGV[5] flushed     id of the last flush when the rebuild began; "" for none
-- Returns swapped, or why nothing changed: flushed, foreign (Redis has another log), lost (another
--         rebuild has the lease or has changed the second place), behind (the live view is further)
-- Errors  none
-- Emits   nothing
local name, holder, checkpoint, identity, flushed = ARGV[1], ARGV[2], ARGV[3], ARGV[4], ARGV[5]

local log = redis.call('HMGET', KEYS[1], 'flush', 'flushed', 'identity')
if log[1] or (log[2] or '') ~= flushed then return 'flushed' end
if (log[3] or '') ~= identity then return 'foreign' end
if redis.call('GET', prefix .. 'service:lease:rebuild:' .. name) ~= holder then return 'lost' end
if view_position(name, second_place) ~= checkpoint then return 'lost' end

-- A view that follows another log, or has events that this one has lost, is not further.
local live, follows = view_position(name, '')
local function seq(id)
  return tonumber(string.match(id, '%-(%d+)$') or 0)
end
if seq(live) > seq(checkpoint) and (not follows or follows == identity)
  and #redis.call('XRANGE', prefix .. 'stream:events', live, live) > 0 then
  return 'behind'
end

for _, hash in ipairs(view_hashes(name)) do
  redis.call('UNLINK', prefix .. hash)
  if redis.call('EXISTS', prefix .. second_place .. hash) == 1 then
    redis.call('RENAME', prefix .. second_place .. hash, prefix .. hash)
  end
end
if name == 'metrics' then
  local saved_at = 'service:checkpoint:metrics'
  redis.call('UNLINK', prefix .. saved_at)
  if checkpoint ~= '' then redis.call('RENAME', prefix .. second_place .. saved_at, prefix .. saved_at) end
end
return 'swapped'
