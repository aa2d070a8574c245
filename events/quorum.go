package events

import "encoding/json"

// QuorumVoted is the payload of quorum.voted: an instance cast its one vote on a decision.
type QuorumVoted struct {
	Decision       string          `json:"decision" jsonschema:"the decision that is voted on"`
	InstanceID     string          `json:"instanceId" jsonschema:"the instance that voted"`
	Value          json.RawMessage `json:"value" jsonschema:"the vote: JSON, not null; members sorted by name"`
	VoteCount      int64           `json:"voteCount" jsonschema:"all votes so far"`
	TotalInstances int64           `json:"totalInstances" jsonschema:"how many may vote"`
}

// QuorumDecisionMade is the payload of quorum.decision.made: further votes do not count. Value is
// the one that got Quorum votes or more, or null if all have voted and no value has so many.
type QuorumDecisionMade struct {
	Decision  string          `json:"decision" jsonschema:"the decision"`
	Value     json.RawMessage `json:"value" jsonschema:"the value that won; null if all have voted and none has enough votes"`
	VoteCount int64           `json:"voteCount" jsonschema:"all votes, not only those for the value"`
	Quorum    int64           `json:"quorum" jsonschema:"the votes that a value needed"`
}
