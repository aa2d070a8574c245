--- @include "lib/last_seq"
--- @include "lib/schedules"
-- Reads schedules, all at the same moment, for claudebench verify, which compares the reply with the
-- log. Without ids it reads how many there are.
--- @readonly
--
-- KEYS[1] log
-- ARGV[1…] ids  of the schedules
-- Returns {seq of the last event, length of the index of ids, length of the index of ticks, a list
--         for each schedule}; a list has the score in the index of ids, the score in the index of
--         ticks, id, cron, timezone, params of the tasks, paused, catchUp, next, lastTick, lastTask,
--         lastError, fired, createdAt, updatedAt, version and seq; a missing value is nil
-- Errors  none
-- Emits   nothing
local index, ticks = prefix .. 'schedules:ids', prefix .. 'schedules:next'

local reply = { last_seq(), redis.call('ZCARD', index), redis.call('ZCARD', ticks) }
for i, id in ipairs(ARGV) do
  local s, row = read_schedule(id), { redis.call('ZSCORE', index, id), redis.call('ZSCORE', ticks, id) }
  if s then
    for n, value in ipairs({ s.id, s.cron, s.timezone, task_params(s), s.paused and '1' or '0', s.catchUp, s.next, s.lastTick, s.lastTask,
      s.lastError, s.fired, s.createdAt, s.updatedAt, s.version, redis.call('HGET', prefix .. 'schedule:' .. id, 'seq') }) do
      row[2 + n] = value
    end
  end
  reply[3 + i] = row
end
return reply
