package events

// LeaderElected is the payload of leader.elected: an instance took the free leadership. Terms only
// rise.
type LeaderElected struct {
	ID       string  `json:"id" jsonschema:"the new leader"`
	Term     int64   `json:"term" jsonschema:"the term, which only rises"`
	Previous *string `json:"previous" jsonschema:"the leader before; null if there was none"`
}
