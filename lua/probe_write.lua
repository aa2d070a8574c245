--- @include "lib/space"
-- Checks that Redis would accept a command: it runs a script that appends to a stream, as every
-- command that changes something does. Redis rejects this script for the same reasons as a command,
-- for example on a replica, when memory is used up, when it cannot save to disk, or when the ACL
-- forbids it.
--
-- The stream never exists, and NOMKSTREAM does not create it, so the script writes nothing.
--
-- KEYS[1] log
-- Returns 1
-- Errors  none
-- Emits   nothing
redis.call('XADD', prefix .. 'service:probe', 'NOMKSTREAM', '*', 'probe', '1')
return 1
