--- @include "lib/seal"
--- @include "lib/last_seq"
--- @include "lib/behind"
-- Reads what Redis knows of the seals. It changes nothing.
--- @readonly
--
-- KEYS[1] log
-- ARGV[1] id  of an event, '' for none
-- Returns JSON: record, with the fields of lib/seal as strings; identity of the log; seq of its last
--         event; there, whether the log has the event with the id or a flush or trim removed it;
--         events and ms, how far the seals are behind the log; held, whether a coordinator seals
-- Errors  none
-- Emits   nothing
local id = ARGV[1]

local record = seal_record()
local seq = last_seq()
local kept = redis.call('XLEN', prefix .. 'stream:events')
local events, ms = behind(record.last ~= '' and record.last or nil, tonumber(seq), kept)
return cjson.encode({
  record = record, identity = log_identity or '', seq = seq, there = log_has(id), events = int(events), ms = int(ms),
  held = redis.call('EXISTS', prefix .. 'service:lease:seal') == 1,
})
