package events

import "encoding/json"

// QuorumVoted is the payload of quorum.voted: an instance cast its one vote on a decision.
type QuorumVoted struct {
	Decision       string          `json:"decision"`
	InstanceID     string          `json:"instanceId"`
	Value          json.RawMessage `json:"value"`          // JSON, not null; members sorted by name
	VoteCount      int64           `json:"voteCount"`      // all votes so far
	TotalInstances int64           `json:"totalInstances"` // how many may vote
}

// QuorumDecisionMade is the payload of quorum.decision.made: further votes do not count. Value is
// the one that got Quorum votes or more, or null if all have voted and no value has so many.
type QuorumDecisionMade struct {
	Decision  string          `json:"decision"`
	Value     json.RawMessage `json:"value"`
	VoteCount int64           `json:"voteCount"` // all votes, not only those for Value
	Quorum    int64           `json:"quorum"`
}
