package events

// QueuePaused is the payload of queue.paused: nothing is claimed or auto-assigned from the queue
// until [QueueResumed].
type QueuePaused struct {
	Roles    []string `json:"roles" jsonschema:"the roles that the tasks of the queue require, sorted; empty for the tasks that require none; null for all queues"`
	Reason   *string  `json:"reason" jsonschema:"why, as the caller said; null if the caller did not say"`
	By       string   `json:"by" jsonschema:"the actor that paused the queue"`
	PausedAt string   `json:"pausedAt" jsonschema:"RFC 3339, UTC, with milliseconds"`
}

// QueueResumed is the payload of queue.resumed: the pause has ended. Another pause may go on: that
// of all queues, or that of a single one.
type QueueResumed struct {
	Roles     []string `json:"roles" jsonschema:"as in the event of the pause"`
	By        string   `json:"by" jsonschema:"the actor that resumed the queue"`
	PausedAt  string   `json:"pausedAt" jsonschema:"when the pause began, RFC 3339, UTC, with milliseconds"`
	ResumedAt string   `json:"resumedAt" jsonschema:"RFC 3339, UTC, with milliseconds"`
}
