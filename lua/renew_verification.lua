--- @include "lib/verification"
-- Renews the lease of a verification, and notes how far it is.
--
-- KEYS[1] log
-- ARGV[1] id      of the verification
-- ARGV[2] lease   how long its lease lasts, ms
-- ARGV[3] doing   what it does now
-- ARGV[4] events  that it has read
-- ARGV[5] total   events of the log when it began
-- Returns 1, or 0 if another verification has taken its place
-- Errors  none
-- Emits   nothing
local id, lease, doing, events, total = ARGV[1], ARGV[2], ARGV[3], ARGV[4], ARGV[5]

if verification_lost(id) then return 0 end
redis.call('HSET', verification, 'until', int(clock + lease), 'doing', doing, 'events', events, 'total', total)
return 1
