package events

import "encoding/json"

// InstanceRegistered is the payload of instance.registered: an instance registered, for the first
// time or again.
type InstanceRegistered struct {
	ID           string          `json:"id"`
	Roles        []string        `json:"roles"`
	BecameLeader bool            `json:"becameLeader"`
	Timestamp    int64           `json:"timestamp"` // ms
	Metadata     json.RawMessage `json:"metadata"`  // the instance's own object, or null
	SessionID    *string         `json:"sessionId"`
	// Resumed reports that the same session registered again and kept its tasks.
	Resumed bool `json:"resumed"`
	// PreviousRoles are the roles it had before; nil if it was not registered.
	PreviousRoles []string `json:"previousRoles"`
}

// InstanceUnregistered is the payload of instance.unregistered: an instance left.
type InstanceUnregistered struct {
	ID              string   `json:"id"`
	Roles           []string `json:"roles"`
	SessionID       *string  `json:"sessionId"`
	TasksReassigned int64    `json:"tasksReassigned"` // tasks taken from it
	Timestamp       int64    `json:"timestamp"`       // ms
}

// InstanceFailed is the payload of instance.failed: an instance sent no heartbeat for too long and
// was declared dead.
type InstanceFailed struct {
	ID              string   `json:"id"`
	Roles           []string `json:"roles"`
	LastSeen        int64    `json:"lastSeen"`        // ms
	TasksReassigned int64    `json:"tasksReassigned"` // tasks taken from it
	Timestamp       int64    `json:"timestamp"`       // ms
}
