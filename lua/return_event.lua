--- @include "lib/group"
--- @include "lib/flush_deleting"
-- Counts a failed delivery of an event that a member of a consumer group holds, or parks the event if
-- it was delivered often enough. A member that no longer holds it changes nothing.
--
-- KEYS[1] log
-- ARGV[1] type        event type of the topic
-- ARGV[2] group       consumer group
-- ARGV[3] consumer    name of the member
-- ARGV[4] id          of the entry
-- ARGV[5] own         1 if the entry is in the group's own stream
-- ARGV[6] deliveries  that the member knows of, this one included
-- ARGV[7] most        deliveries after which the event is parked; 0 for never
-- ARGV[8] reason      why it is parked: nacked or malformed
-- ARGV[9] detail      the same for people
-- Returns 'again': the member delivers it again, 'parked', 'full': it would be parked, and there are
--         too many parked events, 'moved': the event is now in the group's own stream, or 'gone': the
--         member does not hold it any more
-- Errors  CONFLICT (FLUSH_IN_PROGRESS)
-- Emits   nothing
local type, group, consumer, id, own = ARGV[1], ARGV[2], ARGV[3], ARGV[4], ARGV[5] == '1'
local deliveries, most, reason, detail = tonumber(ARGV[6]), tonumber(ARGV[7]), ARGV[8], ARGV[9]

local refused = refuse_while_deleting()
if refused then return refused end
local stream = own and own_of(type, group) or topic_of(type)
local held = redis.pcall('XPENDING', stream, group, id, id, 1)
if held.err or not held[1] or held[1][2] ~= consumer then return 'gone' end

local fields = entry(stream, id)
local event, stored = id, 0
if own then
  if not fields then return 'gone' end
  event, stored = fields.event or '', tonumber(fields.deliveries or 0)
end
deliveries = math.max(deliveries, held[1][4] + stored)
if most > 0 and deliveries >= most then
  local kept = fields or entry(log_stream, event)
  if kept then
    if park(type, group, consumer, own, id, event, kept.data or '', deliveries, reason, detail) then return 'parked' end
    redis.call('XCLAIM', stream, group, consumer, 0, id, 'JUSTID') -- holds it
    return 'full'
  end
end
if not fields then
  rescue(type, group, id, deliveries)
  return 'moved'
end
redis.call('XCLAIM', stream, group, consumer, 0, id)
return 'again'
