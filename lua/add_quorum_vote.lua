--- @include "lib/log"
--- @include "lib/guard"
--- @include "lib/json"
--- @include "lib/conflict"
--- @include "lib/ownership"
--- @include "lib/registered"
-- Counts an instance's vote on a decision. The decision is made when more than half of the
-- instances have voted for the same value. If all have voted and no value has more than half, the
-- decision ends without a value. A second vote of an instance, or a vote after the decision, does
-- not count.
--
-- A decision belongs to the agent's token that cast its first vote, and only that token's instances
-- may vote. A decision that an operator or admin began is open to all instances.
--
-- KEYS[1] log
-- ARGV[1] context   members of the event's envelope as JSON text: actor, cause, trace
-- ARGV[2] subject   key of the rate limit, method:actor
-- ARGV[3] calls     calls a minute, 0 for no limit; further lines hold other limits (lib/guard)
-- ARGV[4] instance  that votes
-- ARGV[5] decision  id of the decision
-- ARGV[6] value     JSON text, the same text for equal values
-- ARGV[7] given     number of instances that vote, '' to accept the number that the first vote
--                   fixed
-- ARGV[8] usual     number of instances that the first vote fixes if given is ''
-- ARGV[9] agent     name of the calling agent's token, '' if the caller may act for all
-- Returns the method's result: {voted, quorumReached, finalDecision?, voteCount}
-- Errors  RATE_LIMITED, NOT_REGISTERED, UNAUTHORIZED, CONFLICT (FLUSH_IN_PROGRESS,
--         TOTAL_INSTANCES_DIFFER)
-- Emits   quorum.voted; quorum.decision.made after it if the vote ends the decision
local subject, calls = ARGV[2], ARGV[3]
local instance, decision, value, given, usual, agent = ARGV[4], ARGV[5], ARGV[6], ARGV[7], ARGV[8], ARGV[9]

local kept = 604800000 -- ms that a decision is kept after its last vote

local refused = open_log()
if refused then return refused end
refused = limit(subject, calls)
if refused then return refused end
if not registered(instance) then
  return redis.error_reply('NOT_REGISTERED {"instanceId":' .. quote(instance) .. '}')
end
refused = foreign_instance(agent, instance)
if refused then return refused end

local key = prefix .. 'quorum:' .. decision
local fixed = redis.call('HMGET', key .. ':metadata', 'totalInstances', 'owner')
local total, owner = fixed[1], fixed[1] and (fixed[2] or '') or agent
refused = owner ~= '' and foreign_name('decision', decision, owner, agent, instance)
if refused then return refused end
if total and given ~= '' and given ~= total then
  return conflict('TOTAL_INSTANCES_DIFFER', '"totalInstances":' .. total)
end
local result = redis.call('HMGET', key .. ':result', 'decided', 'value')
local votes = redis.call('HLEN', key .. ':votes')

local function answer(voted)
  return '{"voted":' .. voted .. ',"quorumReached":' .. (result[2] and 'true,"finalDecision":' .. result[2] or 'false')
    .. ',"voteCount":' .. int(votes) .. '}'
end
if result[1] or redis.call('HEXISTS', key .. ':votes', instance) == 1 then
  sign_of_life(instance)
  return answer('false')
end

if not total then total = given ~= '' and given or usual end
local quorum = int(math.floor(total / 2) + 1)
votes = votes + 1
local n = emit('quorum.voted', '{"decision":' .. quote(decision) .. ',"instanceId":' .. quote(instance) .. ',"value":' .. value
  .. ',"voteCount":' .. int(votes) .. ',"totalInstances":' .. total .. '}')
redis.call('HSET', key .. ':votes', instance, value)
local majority = redis.call('HINCRBY', key .. ':tally', value, 1) >= tonumber(quorum)
if majority or votes >= tonumber(total) then
  n = emit('quorum.decision.made', '{"decision":' .. quote(decision) .. ',"value":' .. (majority and value or 'null')
    .. ',"voteCount":' .. int(votes) .. ',"quorum":' .. quorum .. '}')
  redis.call('HSET', key .. ':result', 'decided', at, 'voteCount', int(votes), 'seq', n)
  if majority then
    redis.call('HSET', key .. ':result', 'value', value)
    result[2] = value
  end
  redis.call('PEXPIRE', key .. ':result', kept)
end
redis.call('HSET', key .. ':metadata', 'totalInstances', total, 'quorum', quorum, 'owner', owner, 'lastVote', at, 'seq', n)
redis.call('PEXPIRE', key .. ':votes', kept)
redis.call('PEXPIRE', key .. ':tally', kept)
redis.call('PEXPIRE', key .. ':metadata', kept)
sign_of_life(instance)
return answer('true')
