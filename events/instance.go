package events

import "encoding/json"

// InstanceRegistered is the payload of instance.registered: an instance registered, for the first
// time or again.
type InstanceRegistered struct {
	ID            string          `json:"id" jsonschema:"the instance"`
	Roles         []string        `json:"roles" jsonschema:"its roles"`
	BecameLeader  bool            `json:"becameLeader" jsonschema:"it also took the free leadership"`
	Timestamp     int64           `json:"timestamp" jsonschema:"ms since 1970"`
	Metadata      json.RawMessage `json:"metadata" jsonschema:"the instance's own object, or null"`
	SessionID     *string         `json:"sessionId" jsonschema:"the session in its metadata; null if there is none"`
	Resumed       bool            `json:"resumed" jsonschema:"the same session registered again and kept its tasks"`
	PreviousRoles []string        `json:"previousRoles" jsonschema:"the roles it had before; null if it was not registered"`
}

// InstanceUnregistered is the payload of instance.unregistered: an instance left.
type InstanceUnregistered struct {
	ID              string   `json:"id" jsonschema:"the instance"`
	Roles           []string `json:"roles" jsonschema:"its roles"`
	SessionID       *string  `json:"sessionId" jsonschema:"the session; null if there is none"`
	TasksReassigned int64    `json:"tasksReassigned" jsonschema:"tasks that were taken from it"`
	Timestamp       int64    `json:"timestamp" jsonschema:"ms since 1970"`
}

// InstanceFailed is the payload of instance.failed: an instance sent no heartbeat for too long and
// was declared dead.
type InstanceFailed struct {
	ID              string   `json:"id" jsonschema:"the instance"`
	Roles           []string `json:"roles" jsonschema:"its roles"`
	LastSeen        int64    `json:"lastSeen" jsonschema:"its last sign of life, ms since 1970"`
	TasksReassigned int64    `json:"tasksReassigned" jsonschema:"tasks that were taken from it"`
	Timestamp       int64    `json:"timestamp" jsonschema:"ms since 1970"`
}
