--- @include "lib/pauses"
-- Lists the pauses of queues, for /readyz. No rate limit applies, because this is not a command.
--- @readonly
--
-- KEYS[1] log
-- Returns the pauses as a JSON array: {roles, reason, by, at} each
-- Errors  none
-- Emits   nothing
return '[' .. table.concat(list_pauses(), ',') .. ']'
