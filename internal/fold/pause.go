package fold

import (
	"encoding/json"

	"github.com/claudebench/claudebench/events"
)

// AllQueues is the key of the pause of all queues. That of a single queue has its role set as key.
const AllQueues = "*"

// suspended is the payload of queue.paused and queue.resumed with its JSON as it was written.
type suspended struct {
	Roles    json.RawMessage `json:"roles"`
	Reason   json.RawMessage `json:"reason"`
	By       json.RawMessage `json:"by"`
	PausedAt json.RawMessage `json:"pausedAt"`
}

// queue returns the key of the pause.
func (p suspended) queue() string {
	switch text := string(p.Roles); text {
	case "null":
		return AllQueues
	case "[]":
		return ""
	default:
		return text
	}
}

// QueueName names the queue of a pause for people.
func QueueName(queue string) string {
	switch queue {
	case AllQueues:
		return "all queues"
	case "":
		return "the queue of tasks without roles"
	}
	return "the queue of roles " + queue
}

func (s step) paused(p suspended) {
	queue := p.queue()
	if s.pauses[queue] != "" {
		s.tell("%s was paused already", QueueName(queue))
	}
	s.pauses[queue] = `{"reason":` + string(p.Reason) + `,"by":` + string(p.By) + `,"at":` + string(p.PausedAt) + `}`
}

func (s step) resumed(p suspended) {
	queue := p.queue()
	if known, ok := s.pauses[queue]; known == "" && (ok || s.whole) {
		s.tell("%s was not paused", QueueName(queue))
	}
	s.pauses[queue] = ""
}

// stopped reports whether nothing may be claimed from the queue that a task belongs to, as far as
// the log tells.
func (s step) stopped(t *Task) bool {
	return !t.partial && (s.pauses[AllQueues] != "" || s.pauses[t.Roleset] != "")
}

// claimedInPause checks the claim of a task whose queue is paused. It is lawful only if the owner ends
// a task that was assigned to it: the next event then ends the task.
func (s step) claimedInPause(t *Task, waited bool) {
	if waited {
		s.tell("task %s is claimed while its queue is paused", t.ID())
		return
	}
	s.suspect = t
}

// suspected judges the claim of a suspect, after the event that follows it.
func (s step) suspected(t *Task) {
	if t.Status == events.StatusInProgress {
		s.tell("task %s was claimed while its queue was paused, and the call that claimed it did not end it", t.ID())
	}
}
