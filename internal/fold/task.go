package fold

import (
	"encoding/json"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/claudebench/claudebench/events"
	"github.com/claudebench/claudebench/internal/jsontext"
)

// Task is a task according to the log. Times are ms since 1970, 0 for none. JSON is text, "" for
// none.
type Task struct {
	Num                     int64 // the number in its id
	Text                    string
	Status                  string
	Priority                int64 // -1 if the log does not have it
	AssignedTo              string
	Attempt                 int64 // -1 if the log does not have it
	Metadata, Result, Error string
	CreatedAt, UpdatedAt    int64
	CompletedAt             int64
	Seq                     int64 // of the last event about it

	QueuedAt, ClaimedAt int64
	LastClaim           int64 // as ClaimedAt, but kept when the task goes back
	Waited, Duration    int64 // ms, as in the events
	AssignedSeq         int64
	PreviousAssignment  string
	Roleset             string // the required roles as a sorted JSON array, "" for none
	Auto                bool   // was auto-assigned, and may be taken away

	// partial is set if the task is older than the log, so that some of its fields are not known.
	partial bool

	extras           bool   // it has or had one of these
	RunAt            int64  // when it becomes or became claimable
	Options          string // JSON
	Failures, Losses int64
	Errors           []string // the last ones, JSON
	Progress, Cancel string   // JSON
	TimeoutAt        int64
	CancelAt         int64
	options          events.TaskOptions
	waits            map[int64]bool // the tasks that it still waits for
	hadWaits         bool           // it waited for some at its creation
	doomed           int64          // a task that has ended so that this one must be cancelled
	unsure           bool           // it depends on tasks that are older than the log
	cancelling       string         // the instance that is to end it, "" for none

	in             Kind
	holder         *Instance // if in is assigned or active
	set            *Orphans  // if in is orphaned
	orphanPriority int64     // its priority when it was set aside

	bytes int64 // what Fold.bytes counts for it
}

// ID returns the task's id.
func (t *Task) ID() string { return "t-" + strconv.FormatInt(t.Num, 10) }

// Open reports whether the task is not finished.
func (t *Task) Open() bool { return !events.Terminal(t.Status) }

// recall returns a task, nil if it does not exist. A finished one comes back into memory, until the end of
// the event.
func (f *Fold) recall(num int64) *Task {
	if t := f.tasks[num]; t != nil {
		return t
	}
	t := f.Task(num)
	if t != nil {
		f.ended.remove(num)
		f.tasks[num] = t
	}
	return t
}

// find returns the task that an event is about. A task that is older than the log is created from
// learn, which holds what the event says about it. A task that the log should know is reported, and
// created the same way. For an invalid id it returns nil.
func (s step) find(id string, learn Task) *Task {
	num, ok := TaskNumber(id)
	if !ok {
		s.tell("%q is not a task id", id)
		return nil
	}
	if t := s.recall(num); t != nil {
		return t
	}
	switch {
	case s.Deleted(num):
		s.tell("task %s was deleted before", id)
	case s.whole || num >= s.base:
		s.tell("task %s was never created", id)
	}
	s.ended.remove(num)
	t := &learn
	t.Num, t.partial = num, true
	s.tasks[num] = t
	s.tally(t, +1)
	if t.AssignedTo != "" && t.Open() {
		kind := KindAssigned
		if t.Status == events.StatusInProgress {
			kind = KindActive
		}
		s.put(t, kind, s.instance(t.AssignedTo))
	}
	return t
}

// TaskNumber returns the number in the id of a task.
func TaskNumber(id string) (int64, bool) {
	digits, ok := strings.CutPrefix(id, "t-")
	num, err := strconv.ParseInt(digits, 10, 64)
	return num, ok && err == nil && num > 0 && (digits[0] != '0' && digits[0] != '+')
}

func deref(s *string) string {
	if s == nil {
		return ""
	}
	return *s
}

// document returns JSON as text, and "" for null or a missing value.
func document(raw json.RawMessage) string {
	if string(raw) == "null" {
		return ""
	}
	return string(raw)
}

// touch records that an event changed the task.
func (s step) touch(t *Task) { t.Seq, t.UpdatedAt, s.touched = s.e.Seq, s.e.Timestamp, t }

// size estimates how much memory a task holds.
func (t *Task) size() int64 {
	const itself = 450 // with its places in the maps of the fold
	size := itself + len(t.Text) + len(t.Metadata) + len(t.Result) + len(t.Error) + len(t.Roleset)
	if t.extras {
		size += len(t.Options) + len(t.Progress) + len(t.Cancel)
		for _, failure := range t.Errors {
			size += len(failure)
		}
	}
	return int64(size)
}

// was compares an event's previous status with the task's.
func (s step) was(t *Task, status string) {
	if t.Status != status {
		s.tell("the event says that task %s was %s, but it was %s", t.ID(), status, t.Describe())
	}
}

// Describe returns a task's status and owner.
func (t *Task) Describe() string {
	if t.AssignedTo == "" {
		return t.Status
	}
	return fmt.Sprintf("%s with %s", t.Status, t.AssignedTo)
}

func (s step) created(p events.TaskCreated) {
	num, ok := TaskNumber(p.ID)
	if !ok {
		s.tell("%q is not a task id", p.ID)
		return
	}
	if num != s.e.Seq {
		s.tell("the id of task %s must be t- and the event's seq, %d", p.ID, s.e.Seq)
	}
	if s.Exists(num) {
		s.tell("task %s was created before", p.ID)
		if t := s.recall(num); t != nil {
			s.drop(t)
		}
		s.ended.remove(num)
	}
	if !slices.Contains(transitions[s.e.Type][noTask], p.Status) || p.AssignedTo != nil || p.Attempt != 0 || p.CompletedAt != nil {
		s.tell("task %s must start pending, scheduled or blocked, unassigned and never claimed", p.ID)
	}
	t := &Task{
		Num: num, Text: p.Text, Status: p.Status, Priority: p.Priority, Metadata: document(p.Metadata),
		CreatedAt: s.e.Timestamp, QueuedAt: s.e.Timestamp,
	}
	t.Roleset = roleset(t.Metadata)
	if s.e.V >= 2 {
		s.options(t, p)
	}
	s.touch(t)
	s.tasks[num] = t
	s.tally(t, +1)
	s.put(t, kindOf(t.Status), nil)
}

func (s step) updated(p events.TaskUpdated) {
	t := s.find(p.ID, Task{Status: p.Status, Priority: p.PreviousPriority, Attempt: -1})
	if t == nil {
		return
	}
	s.was(t, p.Status)
	if t.Priority >= 0 && t.Priority != p.PreviousPriority {
		s.tell("the event says that the priority of task %s was %d, but it was %d", p.ID, p.PreviousPriority, t.Priority)
	}
	s.touch(t)
	if p.Changes.Text != nil {
		t.Text = *p.Changes.Text
	}
	if p.Changes.Priority != nil {
		t.Priority = *p.Changes.Priority
	}
	if p.Changes.Metadata != nil || p.Changes.MetadataChanges != nil {
		s.tally(t, -1)
		waiting := t.in == KindWaiting
		if waiting {
			s.take(t)
		}
		if p.Changes.Metadata != nil { // version 1 of the event holds the whole metadata
			t.Metadata = document(p.Changes.Metadata)
		}
		if p.Changes.MetadataChanges != nil {
			t.Metadata = string(jsontext.Merge([]byte(t.Metadata), p.Changes.MetadataChanges))
		}
		t.Roleset = roleset(t.Metadata)
		if waiting {
			s.put(t, KindWaiting, nil)
		}
		s.tally(t, +1)
	}
}

func (s step) deletedTask(p events.TaskDeleted) {
	t := s.find(p.ID, Task{Status: p.PreviousStatus, AssignedTo: deref(p.PreviousAssignment), Priority: -1, Attempt: -1})
	if t == nil {
		return
	}
	s.was(t, p.PreviousStatus)
	if owner := deref(p.PreviousAssignment); owner != t.AssignedTo {
		s.tell("the event says that %[2]s had task %[1]s, but it was %[3]s", p.ID, orNobody(owner), t.Describe())
	}
	open, owner := t.Open(), t.AssignedTo
	if open {
		s.end(t, noTask)
	}
	s.drop(t)
	s.ended.deleted(t.Num)
	if open && owner != "" {
		s.settle(owner)
	}
}

// drop deletes a task.
func (s step) drop(t *Task) {
	s.leave(t)
	s.take(t)
	s.tally(t, -1)
	delete(s.tasks, t.Num)
	s.bytes -= t.bytes
}

func orNobody(id string) string {
	if id == "" {
		return "nobody"
	}
	return id
}

// tally adds a task to all counts (+1) or removes it (-1). Remove a task before its status, owner
// or roles change, and add it again afterwards.
func (s step) tally(t *Task, by int64) {
	add(s.byStatus, t.Status, by)
	if t.UnderLimit() {
		add(s.limited, t.options.LimitKey, by)
	}
	if !t.Open() {
		return
	}
	if t.Status == events.StatusPending && t.AssignedTo != "" {
		s.owned += by
	}
	if t.Roleset != "" {
		add(s.rolesets, t.Roleset, by)
	}
}

// add changes a count and deletes it at zero.
func add[K comparable](counts map[K]int64, key K, by int64) {
	if counts[key] += by; counts[key] == 0 {
		delete(counts, key)
	}
}
