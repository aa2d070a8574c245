--- @include "lib/space"
--- @include "lib/clock"
-- The verification of the log against everything that is stored. A coordinator runs it in the
-- background, and holds a lease, so that at most one runs in a namespace. A hash has its state:
--
--   id                       of the verification that runs
--   startedAt, until         when it began, and the end of its lease, in ms
--   startedBy, coordinator   who asked for it, and who runs it
--   doing, events, total     how far it is
--   last, lastAt             JSON with the result of the last one, and when it ended, in ms
--   lastStartedAt, lastStartedBy, lastCoordinator  when it began, who asked for it, and who ran it
--
-- If the lease has ended, the coordinator was lost, and the verification has no result.
--
-- A flush keeps the hash: audit belongs to none of the families that it deletes. The result is about
-- the log before the flush, which is what an auditor asks about afterwards.

local verification = prefix .. 'audit:verification'

-- verification_lost returns whether another verification has taken the place of one.
local function verification_lost(id)
  return redis.call('HGET', verification, 'id') ~= id
end

-- verification_runs returns whether a verification runs.
local function verification_runs()
  local run = redis.call('HMGET', verification, 'id', 'until')
  return run[1] and tonumber(run[2]) >= clock
end

-- read_verification returns all fields, or nil.
local function read_verification()
  local list, found = redis.call('HGETALL', verification), nil
  for i = 1, #list, 2 do
    found = found or {}
    found[list[i]] = list[i + 1]
  end
  return found
end
