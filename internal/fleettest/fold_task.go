package fleettest

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"

	"github.com/claudebench/claudebench/internal/api"
	"github.com/claudebench/claudebench/internal/jsontext"
	"github.com/claudebench/claudebench/internal/params"
)

// FoldTask is a task according to the log.
type FoldTask struct {
	ID, Text, Status, AssignedTo, Previous     string
	Metadata, Result, Error                    string // JSON text, "" for null
	CreatedAt, UpdatedAt, CompletedAt, Roleset string
	Priority                                   int
	Attempt                                    int64
	Seq                                        int64
	Auto                                       bool // assigned by the coordinator itself

	Extras           bool   // it has or had one of these
	RunAt            string // ISO 8601, as the other times
	Retry            *Retry
	TimeoutMs        int64
	Failures, Losses int64
	Errors           []string // JSON text
	Progress, Cancel string   // JSON text
	TimeoutAt        string
	CancelAt         string

	OnDependencyFailure string
	// Waits has the tasks that it still waits for. Doomed is one that has ended so that this task
	// must be cancelled.
	Waits               map[string]bool
	Doomed              string
	UniqueKey, LimitKey string
	HadWaits            bool // it waited for some at its creation
}

// Retry is how a failed task is tried again.
type Retry struct {
	MaxAttempts  int64   `json:"maxAttempts"`
	BackoffMs    float64 `json:"backoffMs"`
	Factor       float64 `json:"factor"`
	MaxBackoffMs float64 `json:"maxBackoffMs"`
	Jitter       float64 `json:"jitter"`
}

// MaxErrors is how many failures of a task are kept.
const MaxErrors = 10

// Open reports whether the task is not finished.
func (t *FoldTask) Open() bool {
	return t.Status != "completed" && t.Status != "failed" && t.Status != "cancelled"
}

func (f *Fold) applyTask(e Event, p Payload, at string) {
	id := p.ID
	if id == "" {
		id = p.TaskID
	}
	t := f.Tasks[id]
	if t == nil {
		f.breaks(e, "no such task")
		return
	}
	before := *t
	if early := f.early; early != "" && (early != id || !slices.Contains([]string{"task.completed", "task.failed", "task.retried"}, e.Type)) {
		f.breaks(e, "%s was claimed in a pause", early)
	}
	f.early = ""
	t.Seq, t.UpdatedAt = e.Seq, at
	names := e.Type != "task.updated" && e.Type != "task.progressed" && e.Type != "task.timed_out" && e.Type != "task.cancel_requested"
	if names && p.PreviousStatus != before.Status {
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
		}
		if p.Changes.MetadataChanges != nil {
			t.Metadata = string(jsontext.Merge([]byte(t.Metadata), p.Changes.MetadataChanges))
		}
		if p.Changes.Metadata != nil || p.Changes.MetadataChanges != nil {
			t.Roleset = params.RoleSet(api.Object(t.Metadata))
		}
	case "task.unblocked":
		want := f.ready(t)
		if t.Status != "blocked" || p.Status != want || p.Reason == "dependencies" && len(t.Waits) > 0 || p.Reason == "limit" && want != "pending" {
			f.breaks(e, "the task was %+v", before)
		}
		t.Status = p.Status
	case "task.blocked":
		if limit, ok := f.Limits[t.LimitKey]; t.Status != "pending" || t.AssignedTo != "" || !ok || f.running(t.LimitKey) <= limit {
			f.breaks(e, "the task was %+v", before)
		}
		t.Status = p.Status
	case "task.revived":
		if t.Status != "failed" && t.Status != "cancelled" || t.Attempt != p.Attempt {
			f.breaks(e, "the task was %+v", before)
		}
		t.Waits, t.Doomed, t.HadWaits = map[string]bool{}, "", false
		if p.Status != f.ready(t) {
			f.breaks(e, "it must be %s", f.ready(t))
		}
		t.Status, t.Previous, t.AssignedTo = p.Status, owner(t), ""
		t.Failures, t.Losses, t.Errors, t.Progress, t.Cancel, t.Result, t.Error, t.CompletedAt = 0, 0, nil, "", "", "", "", ""
	case "task.due":
		untold := p.Status == "blocked" && t.HadWaits && t.Attempt == 0 // what it depends on has ended, and a later step tells it
		if t.Status != "scheduled" || p.Status != f.ready(t) && !untold || p.RunAt != t.RunAt || at < t.RunAt {
			f.breaks(e, "the task was %+v", before)
		}
		t.Status = p.Status
	case "task.progressed":
		if t.Status != "in_progress" || t.AssignedTo != p.WorkerID || t.Attempt != p.Attempt || (p.TimeoutAt != "") != (t.TimeoutMs != 0) {
			f.breaks(e, "the task was %+v", before)
		}
		t.Extras, t.TimeoutAt = true, p.TimeoutAt
		t.Progress = fmt.Sprintf(`{"percent":%s,"message":%s,"data":%s,"at":%q}`, null(p.Percent), null(p.Message), null(p.Data), at)
	case "task.timed_out":
		if t.Status != "in_progress" || t.AssignedTo != p.WorkerID || t.Attempt != p.Attempt || p.TimeoutAt != t.TimeoutAt || at < t.TimeoutAt {
			f.breaks(e, "the task was %+v", before)
		}
	case "task.retried":
		if t.Status != "in_progress" || t.AssignedTo != p.WorkerID || t.Attempt != p.Attempt || t.Retry == nil || p.Duration == nil || *p.Duration < 0 ||
			p.Failures != t.Failures+1 || p.Failures >= t.Retry.MaxAttempts || t.Cancel != "" {
			f.breaks(e, "the task was %+v", before)
		}
		f.fail(t, p, at)
		t.Status, t.Previous, t.AssignedTo, t.RunAt = "scheduled", t.AssignedTo, "", p.RunAt
		f.leave(t)
	case "task.cancel_requested":
		if t.Status != "in_progress" || t.AssignedTo != p.WorkerID || t.Attempt != p.Attempt || t.Cancel != "" {
			f.breaks(e, "the task was %+v", before)
		}
		t.Extras, t.CancelAt = true, p.CancelAt
		t.Cancel = fmt.Sprintf(`{"by":%s,"reason":%s,"requestedAt":%q,"cancelAt":%q}`, p.By, p.Why, at, p.CancelAt)
	case "task.cancelled":
		if !t.Open() || t.Attempt != p.Attempt || p.WorkerID != t.AssignedTo {
			f.breaks(e, "the task was %+v", before)
		}
		t.Status, t.CompletedAt, t.Extras, t.Auto = "cancelled", at, true, false
		if t.Cancel == "" {
			t.Cancel = fmt.Sprintf(`{"by":%s,"reason":%s,"requestedAt":null,"cancelAt":null}`, p.By, p.Why)
		}
		f.leave(t)
		f.end(id, "cancelled")
	case "task.assigned":
		if !t.Open() || !f.May(p.InstanceID, t) || str(p.PreviousAssignment) != owner(t) {
			f.breaks(e, "the task was %+v, the instance %+v", before, f.Instances[p.InstanceID])
		}
		again := p.Reason == "session_changed" || p.Reason == "roles_changed"
		if (t.AssignedTo != "") != (again || p.Reason == "rebalanced") || again && t.AssignedTo != p.InstanceID {
			f.breaks(e, "the task was %+v", before)
		}
		if again && t.Auto {
			f.breaks(e, "the task was auto-assigned, and nobody can take it over now: %+v", before)
		}
		if f.Stopped(t.Roleset) && p.Reason != "requested" && !again {
			f.breaks(e, "its queue is paused")
		}
		t.Status, t.AssignedTo, t.Previous = "pending", p.InstanceID, ""
		t.Auto = p.Reason != "requested" && !again
		f.lose(t, p)
	case "task.unassigned":
		if !t.Open() || t.AssignedTo == "" || p.InstanceID != t.AssignedTo || str(p.PreviousAssignment) != t.AssignedTo {
			f.breaks(e, "the task was %+v", before)
		}
		t.Status, t.Previous, t.AssignedTo, t.Auto = "pending", t.AssignedTo, "", false
		f.lose(t, p)
	case "task.claimed":
		if t.AssignedTo != "" && t.AssignedTo != p.WorkerID || !f.May(p.WorkerID, t) || p.Attempt != t.Attempt+1 ||
			t.Status != "pending" || str(p.PreviousAssignment) != t.AssignedTo || p.Waited == nil || *p.Waited < 0 {
			f.breaks(e, "the task was %+v, the instance %+v", before, f.Instances[p.WorkerID])
		}
		if f.Stopped(t.Roleset) {
			if f.early = id; t.AssignedTo == "" {
				f.breaks(e, "its queue is paused")
			}
		}
		t.Status, t.AssignedTo, t.Attempt, t.Previous, t.Auto = "in_progress", p.WorkerID, p.Attempt, "", false
		t.Progress, t.TimeoutAt = "", p.TimeoutAt
		if (p.TimeoutAt != "") != (t.TimeoutMs != 0) {
			f.breaks(e, "the task was %+v", before)
		}
	case "task.completed", "task.failed":
		if t.Status != "in_progress" || t.AssignedTo != p.WorkerID || t.Attempt != p.Attempt || p.Duration == nil || *p.Duration < 0 {
			f.breaks(e, "the task was %+v", before)
		}
		t.Status, t.CompletedAt = p.Status, at
		t.Result, t.Error = Text(p.Result), Text(p.Error)
		if e.Type == "task.failed" {
			if p.Failures != t.Failures+1 || p.Losses != t.Losses && p.Losses != t.Losses+1 {
				f.breaks(e, "the task was %+v", before)
			}
			t.Losses = p.Losses
			f.fail(t, p, at)
		}
		f.leave(t)
		f.end(id, t.Status)
	case "task.deleted":
		if t.Open() {
			f.end(id, "deleted")
		}
		if str(p.PreviousAssignment) != t.AssignedTo {
			f.breaks(e, "the task was %+v", before)
		}
		delete(f.Tasks, id)
		f.deleted[id] = true
	default:
		f.breaks(e, "unknown type")
	}
}

// depend folds that a new task depends on others.
func (f *Fold) depend(e Event, t *FoldTask, needs []string) {
	for _, id := range needs {
		needed := f.Tasks[id]
		switch {
		case needed == nil:
			f.breaks(e, "%s does not exist", id)
		case needed.Open():
			needed.Extras, t.Waits[id], t.HadWaits = true, true, true
		case needed.Status != "completed" && t.OnDependencyFailure == "cancel":
			t.Doomed = id
		}
	}
}

// end folds that a task has ended, for those that wait for it.
func (f *Fold) end(id, outcome string) {
	for _, t := range f.Tasks {
		switch {
		case !t.Open() || !t.Waits[id]:
		case outcome == "completed" || t.OnDependencyFailure == "run":
			delete(t.Waits, id)
		default:
			t.Doomed = id
		}
	}
}

// running counts the tasks of a key that are pending or in progress.
func (f *Fold) running(key string) int64 {
	n := int64(0)
	for _, t := range f.Tasks {
		if t.LimitKey == key && (t.Status == "pending" || t.Status == "in_progress") {
			n++
		}
	}
	return n
}

// ready returns the status of a task that waits for no time and that is neither pending nor in
// progress.
func (f *Fold) ready(t *FoldTask) string {
	if len(t.Waits) > 0 {
		return "blocked"
	}
	if limit, ok := f.Limits[t.LimitKey]; ok && f.running(t.LimitKey) >= limit {
		return "blocked"
	}
	return "pending"
}

// fail adds a failure.
func (f *Fold) fail(t *FoldTask, p Payload, at string) {
	t.Failures, t.Extras = p.Failures, true
	failure := null(p.Error)
	if len(failure) > 1000 {
		failure = JSONText(strings.ToValidUTF8(failure[:1000], ""))
	}
	t.Errors = append(t.Errors, fmt.Sprintf(`{"attempt":%d,"workerId":%s,"at":%q,"error":%s}`, p.Attempt, JSONText(p.WorkerID), at, failure))
	if len(t.Errors) > MaxErrors {
		t.Errors = t.Errors[1:]
	}
}

// lose notes that a task left its owner, and whether it was lost with it.
func (f *Fold) lose(t *FoldTask, p Payload) {
	if p.Losses != 0 {
		t.Losses, t.Extras = p.Losses, true
	}
	f.leave(t)
}

// leave ends the deadlines of a task that leaves its owner.
func (f *Fold) leave(t *FoldTask) { t.TimeoutAt, t.CancelAt = "", "" }

// null returns JSON as text, null if it is missing.
func null(raw json.RawMessage) string {
	if raw == nil {
		return "null"
	}
	return string(raw)
}

// owner returns a task's owner, or else its last owner.
func owner(t *FoldTask) string {
	if t.AssignedTo != "" {
		return t.AssignedTo
	}
	return t.Previous
}
