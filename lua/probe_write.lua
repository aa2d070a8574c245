--- @include "lib/space"
-- Asks Redis for what every command asks of it: to run a script that appends to a stream. A Redis
-- that is a replica, has no memory left, cannot save, or forbids it by its ACL refuses, as it would
-- refuse a command. The stream is never there and is not made, so nothing is written.
--
-- KEYS[1] log
-- Returns 1
-- Errors  none
-- Emits   nothing
redis.call('XADD', prefix .. 'service:probe', 'NOMKSTREAM', '*', 'probe', '1')
return 1
