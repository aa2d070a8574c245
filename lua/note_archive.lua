--- @include "lib/space"
-- Notes in the log's hash how far the archive is, for whoever relies on it: a flush waits for it, and
-- a trim removes only what is in closed segments. The fields survive a flush:
--
--   archive         id of the archive; only one archive follows a log
--   archivePlace    where it is, for people
--   archived        ID of the last event that is on the archive's disk
--   archivedClosed  ID of the last event in a closed segment
--
-- KEYS[1] log
-- ARGV[1] holder    the process that holds the lease `archive`
-- ARGV[2] archive   id of the archive
-- ARGV[3] place     where it is
-- ARGV[4] archived  ID of the last event on its disk
-- ARGV[5] closed    ID of the last event in a closed segment
-- ARGV[6] adopt     1 to replace another archive, else 0
-- Returns {1 if noted, 0 if the process does not hold the lease, -1 if another archive is noted; the
--         place of that archive, or if noted the first event that the log keeps by its retention
--         (trim_log), '' if there is none}
-- Errors  none
-- Emits   nothing
local holder, archive, place, archived, closed, adopt = ARGV[1], ARGV[2], ARGV[3], ARGV[4], ARGV[5], ARGV[6]

if redis.call('GET', prefix .. 'service:lease:archive') ~= holder then return { 0, '' } end
local noted = redis.call('HMGET', KEYS[1], 'archive', 'archivePlace', 'trimTo')
if noted[1] and noted[1] ~= archive and adopt ~= '1' then return { -1, noted[2] or '' } end
-- Above maxmemory Redis refuses HSET, unless the script has already written. Without this note no trim
-- could make room.
redis.call('HDEL', KEYS[1], 'archived')
redis.call('HSET', KEYS[1], 'archive', archive, 'archivePlace', place, 'archived', archived, 'archivedClosed', closed)
return { 1, noted[3] or '' }
