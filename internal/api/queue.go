package api

// PauseQueueParams are the params of queue.pause. Nil roles are left out, which means all queues;
// roles without an element mean the queue of the tasks that require no role.
type PauseQueueParams struct {
	Roles  []Role `json:"roles,omitzero" jsonschema:"the roles that the tasks of the queue require, exactly these and in any order; an empty array for the tasks that require none; default: all queues"`
	Reason string `json:"reason,omitempty" jsonschema:"why, for those who see the pause"`
}

// ResumeQueueParams are the params of queue.resume. Roles are as in queue.pause.
type ResumeQueueParams struct {
	Roles []Role `json:"roles,omitzero" jsonschema:"as in the call of queue.pause; default: end the pause of all queues, but not those of single ones"`
}

// PausesResult is the result of queue.pause and queue.resume.
type PausesResult struct {
	Changed bool    `json:"changed" jsonschema:"false if the queue was paused already, or if there was no such pause"`
	Pauses  []Pause `json:"pauses" jsonschema:"all pauses after the call; at most 64"`
}

// Pause says that nothing is claimed or auto-assigned from a queue.
type Pause struct {
	Roles  []string `json:"roles" jsonschema:"the roles that the tasks of the queue require; empty for the tasks that require none; null for all queues"`
	Reason *string  `json:"reason" jsonschema:"null if the caller gave none"`
	By     string   `json:"by" jsonschema:"the actor that paused the queue"`
	At     string   `json:"at" jsonschema:"when it was paused"`
}
