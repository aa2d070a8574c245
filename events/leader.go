package events

// LeaderElected is the payload of leader.elected: an instance took the free leadership. Terms only
// rise.
type LeaderElected struct {
	ID       string  `json:"id"`
	Term     int64   `json:"term"`
	Previous *string `json:"previous"` // the leader before, nil if there was none
}
