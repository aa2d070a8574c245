package commands

import (
	"encoding/json"
	"fmt"
	"slices"
	"time"

	"github.com/claudebench/claudebench/internal/api"
)

// fold is the state that the log tells of, with the laws that events keep to. It is written from the
// events' documentation alone, so that it and the scripts check each other.
type fold struct {
	seq       int64
	tasks     map[string]*foldTask
	deleted   map[string]bool
	instances map[string]*foldInstance
	leader    string // the last elected, "" once it left or died
	term      int64
	// afterFlush: terms go on rising behind a flush, which forgets the last one.
	afterFlush bool
	broken     []string
}

type foldTask struct {
	ID, Text, Status, AssignedTo, Previous     string
	Metadata, Result, Error                    string // JSON text, "" for null
	CreatedAt, UpdatedAt, CompletedAt, Roleset string
	Priority                                   int
	Attempt                                    int64
	Seq                                        int64
	Auto                                       bool // assigned by the coordinator itself
}

type foldInstance struct {
	Roles             []string
	Metadata, Session string
	MaxTasks          int
	RegisteredAt      string
}

func newFold() *fold {
	return &fold{tasks: map[string]*foldTask{}, deleted: map[string]bool{}, instances: map[string]*foldInstance{}}
}

func (t *foldTask) open() bool { return t.Status == "pending" || t.Status == "in_progress" }

func (i *foldInstance) worker() bool { return slices.Contains(i.Roles, "worker") }

// may tells whether an instance has the roles a task asks for.
func (f *fold) may(instance string, t *foldTask) bool {
	i := f.instances[instance]
	if i == nil {
		return false
	}
	var asked []string
	if t.Roleset != "" {
		_ = json.Unmarshal([]byte(t.Roleset), &asked)
	}
	for _, role := range asked {
		if !slices.Contains(i.Roles, role) {
			return false
		}
	}
	return true
}

// payload is every member that the fold reads, of any event.
type payload struct {
	ID, TaskID, InstanceID, WorkerID string
	Text, Status, Reason             string
	PreviousStatus                   string
	PreviousAssignment               *string
	Priority                         int
	PreviousPriority                 int
	Attempt, Term                    int64
	Metadata, Result, Error          json.RawMessage
	Roles, PreviousRoles             []string
	SessionID                        *string `json:"sessionId"`
	Resumed, BecameLeader            bool
	Previous                         *string
	Duration, Waited                 *int64
	CreatedAt, UpdatedAt             string
	AssignedAt, UnassignedAt         string
	ClaimedAt, CompletedAt           string
	DeletedAt                        string
	Changes                          struct {
		Text     *string
		Priority *int
		Metadata json.RawMessage
	}
}

func text(raw json.RawMessage) string {
	if string(raw) == "null" {
		return ""
	}
	return string(raw)
}

func str(s *string) string {
	if s == nil {
		return ""
	}
	return *s
}

func (f *fold) breaks(e event, format string, args ...any) {
	f.broken = append(f.broken, e.ID+" "+e.Type+" "+string(e.Payload)+": "+fmt.Sprintf(format, args...))
}

// apply takes in an event; one that it has seen before changes nothing.
func (f *fold) apply(e event) {
	if e.Seq <= f.seq {
		return
	}
	f.seq = e.Seq
	var p payload
	if err := json.Unmarshal(e.Payload, &p); err != nil {
		f.breaks(e, "%v", err)
		return
	}
	at := time.UnixMilli(e.Timestamp).UTC().Format("2006-01-02T15:04:05.000Z")
	for _, moment := range []string{p.AssignedAt, p.UnassignedAt, p.ClaimedAt, p.CompletedAt, p.DeletedAt, p.UpdatedAt} {
		if moment != "" && moment != at {
			f.breaks(e, "says %s and happened at %s", moment, at)
		}
	}
	switch e.Type {
	case "instance.registered", "instance.unregistered", "instance.failed", "leader.elected":
		f.applyInstance(e, p, at)
	case "task.created":
		if f.tasks[p.ID] != nil || f.deleted[p.ID] || p.ID != fmt.Sprintf("t-%d", e.Seq) || p.Status != "pending" || p.CreatedAt != at {
			f.breaks(e, "not a new task")
		}
		t := &foldTask{
			ID: p.ID, Text: p.Text, Status: "pending", Priority: p.Priority, Metadata: text(p.Metadata),
			CreatedAt: at, UpdatedAt: at, Seq: e.Seq,
		}
		t.Roleset = roleset(api.Object(t.Metadata))
		f.tasks[p.ID] = t
	case "circuit.opened", "circuit.closed": // is no business of tasks and instances
	case "system.flushed":
		seq := f.seq
		*f = *newFold()
		f.seq, f.afterFlush = seq, true
	case "batch.started", "batch.progressed", "batch.completed", "quorum.voted", "quorum.decision.made":
		// They change no task and no instance; the tasks of a batch have events of their own.
	default:
		f.applyTask(e, p, at)
	}
}

func (f *fold) applyInstance(e event, p payload, at string) {
	known := f.instances[p.ID]
	switch e.Type {
	case "instance.registered":
		if (known == nil) != (p.PreviousRoles == nil) || known != nil && !slices.Equal(known.Roles, p.PreviousRoles) {
			f.breaks(e, "it was registered as %+v", known)
		}
		if p.Resumed && (known == nil || known.Session == "" || known.Session != str(p.SessionID)) {
			f.breaks(e, "resumes the session of %+v", known)
		}
		i := &foldInstance{Roles: p.Roles, Metadata: text(p.Metadata), Session: str(p.SessionID), RegisteredAt: at, MaxTasks: 10}
		var m struct {
			MaxTasks *float64 `json:"maxTasks"`
		}
		if i.Metadata != "" && json.Unmarshal([]byte(i.Metadata), &m) == nil && m.MaxTasks != nil {
			i.MaxTasks = int(*m.MaxTasks)
		}
		f.instances[p.ID] = i
	case "instance.unregistered", "instance.failed":
		if known == nil || !slices.Equal(known.Roles, p.Roles) {
			f.breaks(e, "it was registered as %+v", known)
		}
		delete(f.instances, p.ID)
		if f.leader == p.ID {
			f.leader = ""
		}
	case "leader.elected":
		if known == nil || p.Term != f.term+1 && (!f.afterFlush || f.term > 0) {
			f.breaks(e, "elects %+v after term %d", known, f.term)
		}
		f.leader, f.term = p.ID, p.Term
	}
}

func (f *fold) applyTask(e event, p payload, at string) {
	id := p.ID
	if id == "" {
		id = p.TaskID
	}
	t := f.tasks[id]
	if t == nil {
		f.breaks(e, "no such task")
		return
	}
	before := *t
	t.Seq, t.UpdatedAt = e.Seq, at
	if e.Type != "task.updated" && p.PreviousStatus != before.Status {
		f.breaks(e, "the task was %s", before.Status)
	}
	switch e.Type {
	case "task.updated":
		if p.Status != t.Status || p.PreviousPriority != t.Priority {
			f.breaks(e, "the task was %+v", before)
		}
		if p.Changes.Text != nil {
			t.Text = *p.Changes.Text
		}
		if p.Changes.Priority != nil {
			t.Priority = *p.Changes.Priority
		}
		if p.Changes.Metadata != nil {
			t.Metadata = string(p.Changes.Metadata)
			t.Roleset = roleset(api.Object(t.Metadata))
		}
	case "task.assigned":
		if !t.open() || !f.may(p.InstanceID, t) || str(p.PreviousAssignment) != owner(t) {
			f.breaks(e, "the task was %+v, the instance %+v", before, f.instances[p.InstanceID])
		}
		again := p.Reason == "session_changed" || p.Reason == "roles_changed"
		if (t.AssignedTo != "") != (again || p.Reason == "rebalanced") || again && t.AssignedTo != p.InstanceID {
			f.breaks(e, "the task was %+v", before)
		}
		t.Status, t.AssignedTo, t.Previous = "pending", p.InstanceID, ""
		t.Auto = p.Reason != "requested" && !again
	case "task.unassigned":
		if !t.open() || t.AssignedTo == "" || p.InstanceID != t.AssignedTo || str(p.PreviousAssignment) != t.AssignedTo {
			f.breaks(e, "the task was %+v", before)
		}
		t.Status, t.Previous, t.AssignedTo, t.Auto = "pending", t.AssignedTo, "", false
	case "task.claimed":
		if t.AssignedTo != "" && t.AssignedTo != p.WorkerID || !f.may(p.WorkerID, t) || p.Attempt != t.Attempt+1 ||
			t.Status != "pending" || str(p.PreviousAssignment) != t.AssignedTo || p.Waited == nil || *p.Waited < 0 {
			f.breaks(e, "the task was %+v, the instance %+v", before, f.instances[p.WorkerID])
		}
		t.Status, t.AssignedTo, t.Attempt, t.Previous, t.Auto = "in_progress", p.WorkerID, p.Attempt, "", false
	case "task.completed", "task.failed":
		if t.Status != "in_progress" || t.AssignedTo != p.WorkerID || t.Attempt != p.Attempt || p.Duration == nil || *p.Duration < 0 {
			f.breaks(e, "the task was %+v", before)
		}
		t.Status, t.CompletedAt = p.Status, at
		t.Result, t.Error = text(p.Result), text(p.Error)
	case "task.deleted":
		if str(p.PreviousAssignment) != t.AssignedTo {
			f.breaks(e, "the task was %+v", before)
		}
		delete(f.tasks, id)
		f.deleted[id] = true
	default:
		f.breaks(e, "unknown type")
	}
}

// owner is who has a task, else who had it last.
func owner(t *foldTask) string {
	if t.AssignedTo != "" {
		return t.AssignedTo
	}
	return t.Previous
}
