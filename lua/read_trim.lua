--- @include "lib/trim"
-- Says how far the log may be trimmed, and what holds it back. The cost depends on the number of
-- checkpoints, consumer groups and event types, not on the length of the log.
--- @readonly
--
-- KEYS[1] log
-- ARGV[1] to       first event that the log keeps by its retention
-- ARGV[2] ignored  names of readers that do not hold it back, one a line: a checkpoint, tasks or events
--         for a projection in Postgres, or stream:group
-- ARGV[3…] types   event types whose topics may have consumer groups
-- Returns JSON: {first: of the log, limit: the first event that must stay, holders: [{kind: archive,
--         seal, projection, checkpoint or group, name, needs: the first event that it needs, events:
--         that the log keeps beyond its retention for it}, …]: at most 20, or refused: archive if
--         nothing is archived, flush while one runs, empty, or checkpoints if there are too many}. A
--         member without a value is left out
-- Errors  none
-- Emits   nothing
local to, ignored = ARGV[1], ARGV[2]
local first_type = 3

return cjson.encode(trim_limit(to, ignored, first_type))
