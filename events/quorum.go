package events

import "encoding/json"

// QuorumVoted is the payload of quorum.voted: an instance gave its one vote on a decision.
type QuorumVoted struct {
	Decision       string          `json:"decision"`
	InstanceID     string          `json:"instanceId"`
	Value          json.RawMessage `json:"value"`          // any JSON but null; members in order of their names
	VoteCount      int64           `json:"voteCount"`      // all votes so far
	TotalInstances int64           `json:"totalInstances"` // how many vote
}

// QuorumDecisionMade is the payload of quorum.decision.made: no further vote counts. Value is what
// Quorum or more have voted for, or null when all have voted and no value has so many.
type QuorumDecisionMade struct {
	Decision  string          `json:"decision"`
	Value     json.RawMessage `json:"value"`
	VoteCount int64           `json:"voteCount"` // all votes, not those for Value alone
	Quorum    int64           `json:"quorum"`
}
