package projections

import (
	"encoding/json"
	"fmt"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/claudebench/claudebench/events"
	"github.com/claudebench/claudebench/internal/jsontext"
)

// fact is what the folds read of the payload of an event, under the names that events of any type
// use. Events of tasks and instances have one.
type fact struct {
	// Num is the number of the task: the n of t-<n>.
	Num      int64 `json:"-"`
	byTaskID bool  // scan found it in taskId rather than id

	ID         string             `json:"id"`
	TaskID     string             `json:"taskId"`
	InstanceID string             `json:"instanceId"`
	WorkerID   string             `json:"workerId"`
	Text       string             `json:"text"`
	Priority   int64              `json:"priority"`
	Metadata   json.RawMessage    `json:"metadata"`
	Changes    events.TaskChanges `json:"changes"`
	Attempt    int64              `json:"attempt"`
	Waited     int64              `json:"waited"`   // ms
	Duration   int64              `json:"duration"` // ms
	Result     json.RawMessage    `json:"result"`
	Error      json.RawMessage    `json:"error"`
	Status     string             `json:"status"`   // after the event
	Failures   int64              `json:"failures"` // 0 if the event does not say it
	Losses     int64              `json:"losses"`   // 0 if the event does not say it
	previously

	runAt, timeoutAt int64 // ms since 1970, 0 for none; read by readTimes

	SessionID       string   `json:"sessionId"` // "" for none
	Roles           []string `json:"roles"`
	PreviousRoles   []string `json:"previousRoles"`
	Resumed         bool     `json:"resumed"`
	TasksReassigned int64    `json:"tasksReassigned"`

	// err is why the event cannot be folded. known reports that this program knows its type and
	// version; an error of a known one concerns only the folds that read its payload.
	err   error
	known bool
}

// factsOf returns the facts of a batch, one for each entry. The projections that are given the same
// batch decode it once.
func factsOf(batch events.Batch) []fact {
	return batch.Once(func() any {
		facts := make([]fact, len(batch.Entries))
		for i := range batch.Entries {
			if entry := &batch.Entries[i]; entry.Err == nil {
				facts[i].read(&entry.Envelope)
			}
		}
		return facts
	}).([]fact)
}

func (f *fact) read(e *events.Envelope) {
	if f.err = e.Known(); f.err != nil {
		return
	}
	f.known = true
	switch e.Type {
	case events.TypeTaskCreated, events.TypeTaskUpdated, events.TypeTaskAssigned, events.TypeTaskUnassigned, events.TypeTaskClaimed,
		events.TypeTaskCompleted, events.TypeTaskFailed, events.TypeTaskDeleted, events.TypeTaskDue, events.TypeTaskRetried,
		events.TypeTaskTimedOut, events.TypeTaskProgressed, events.TypeTaskCancelRequested, events.TypeTaskCancelled,
		events.TypeTaskUnblocked, events.TypeTaskBlocked, events.TypeTaskRevived:
		// The scanner reads every version, because each one only has more members than the one before
		// (FuzzFacts). Most tasks have no options, so most events are of the first version.
		if !f.scan(e.Payload) || f.byTaskID != byTaskID(e.Type) {
			if *f, f.err = events.PayloadAs[fact](*e); f.err == nil {
				f.Num, f.err = f.taskNumber(e.Type)
			}
			f.known = true
		}
		if f.err == nil {
			f.err = f.readTimes(e)
		}
	case events.TypeInstanceRegistered, events.TypeInstanceUnregistered, events.TypeInstanceFailed:
		*f, f.err = events.PayloadAs[fact](*e)
		f.known = true
	}
}

// readTimes reads the times that a row has and that are not the event's own.
func (f *fact) readTimes(e *events.Envelope) error {
	switch e.Type {
	case events.TypeTaskCreated, events.TypeTaskClaimed:
		if e.V < 2 {
			return nil
		}
	case events.TypeTaskRetried, events.TypeTaskProgressed:
	default:
		return nil
	}
	for name, value := range jsontext.Members(e.Payload) {
		to := &f.runAt
		switch name {
		case "timeoutAt":
			to = &f.timeoutAt
		case "runAt":
		default:
			continue
		}
		if string(value) == "null" {
			continue
		}
		text, _ := scanText(value)
		at, err := time.Parse(events.TimeLayout, text)
		if err != nil {
			return fmt.Errorf("%w: %s is %s, which is no time", events.ErrMalformed, name, value)
		}
		*to = at.UnixMilli()
	}
	return nil
}

// taskNumber returns the number of the task that an event of a task is about.
func (f *fact) taskNumber(of events.Type) (int64, error) {
	if byTaskID(of) {
		return taskNumber(f.TaskID)
	}
	return taskNumber(f.ID)
}

// byTaskID reports whether events of a type name their task in taskId rather than id.
func byTaskID(of events.Type) bool {
	return of == events.TypeTaskAssigned || of == events.TypeTaskUnassigned || of == events.TypeTaskClaimed
}

// taskNumber is the n of t-<n>.
func taskNumber(id string) (int64, error) {
	digits, ok := strings.CutPrefix(id, "t-")
	num, err := strconv.ParseInt(digits, 10, 64)
	if !ok || err != nil || num < 1 {
		return 0, fmt.Errorf("%w: %q is not a task id", events.ErrMalformed, id)
	}
	return num, nil
}

// scan reads the payload of a task's event as the scripts write it: compact, and with the members
// that they write. It returns false for anything else, well formed or not. What it accepts,
// encoding/json reads alike, at five times the cost (BenchmarkFacts).
func (f *fact) scan(payload []byte) bool {
	if len(payload) < 2 || payload[1] != '"' {
		return false
	}
	for rest := payload; ; {
		rest = rest[1:] // the brace or the comma
		if len(rest) == 0 || rest[0] != '"' {
			return false
		}
		name := jsontext.Value(rest)
		rest = rest[len(name):]
		if len(rest) == 0 || rest[0] != ':' {
			return false
		}
		value := jsontext.Value(rest[1:])
		rest = rest[1+len(value):]
		if len(value) == 0 || !f.member(name, value) {
			return false
		}
		if len(rest) == 1 && rest[0] == '}' {
			return f.Num > 0
		}
		if len(rest) == 0 || rest[0] != ',' {
			return false
		}
	}
}

// member reads one member; name is in quotes.
func (f *fact) member(name, value []byte) (ok bool) {
	switch string(name) {
	case `"id"`, `"taskId"`:
		if f.Num == 0 {
			f.byTaskID = string(name) == `"taskId"`
			f.Num, ok = scanTask(value)
		}
	case `"instanceId"`:
		f.InstanceID, ok = scanText(value)
	case `"workerId"`:
		f.WorkerID, ok = scanOptional(value)
	case `"text"`:
		f.Text, ok = scanText(value)
	case `"priority"`:
		f.Priority, ok = scanCount(value)
	case `"attempt"`:
		f.Attempt, ok = scanCount(value)
	case `"waited"`:
		f.Waited, ok = scanCount(value)
	case `"duration"`:
		f.Duration, ok = scanCount(value)
	case `"metadata"`:
		f.Metadata, ok = value, true
	case `"result"`:
		f.Result, ok = value, true
	case `"error"`:
		f.Error, ok = value, true
	case `"changes"`:
		ok = json.Unmarshal(value, &f.Changes) == nil
	case `"previousStatus"`:
		f.PreviousStatus, ok = scanStatus(value)
	case `"previousAssignment"`:
		if string(value) == "null" {
			f.PreviousAssignment = nil
			return true
		}
		var previous string
		if previous, ok = scanText(value); ok {
			f.PreviousAssignment = &previous
		}
	case `"reason"`:
		f.Reason, ok = scanOptional(value)
	case `"status"`:
		f.Status, ok = scanStatus(value)
	case `"failures"`:
		f.Failures, ok = scanCount(value)
	case `"losses"`:
		f.Losses, ok = scanCount(value)
	case `"assignedTo"`, `"createdAt"`, `"updatedAt"`, `"completedAt"`, `"assignedAt"`, `"unassignedAt"`, `"claimedAt"`,
		`"deletedAt"`, `"deletedBy"`, `"updatedBy"`, `"previousPriority"`, `"runAt"`, `"timeoutAt"`, `"progressedAt"`, `"requestedAt"`,
		`"cancelAt"`, `"revivedAt"`, `"retry"`, `"timeoutMs"`, `"dependsOn"`, `"onDependencyFailure"`, `"uniqueKey"`, `"limitKey"`,
		`"percent"`, `"message"`, `"data"`, `"by"`:
		ok = true // not in the fact
	}
	return ok
}

// scanText reads a string without escapes.
func scanText(value []byte) (string, bool) {
	if value[0] != '"' {
		return "", false
	}
	ascii := true
	for _, c := range value[1 : len(value)-1] {
		if c == '\\' {
			var text string
			return text, json.Unmarshal(value, &text) == nil
		}
		ascii = ascii && c < utf8.RuneSelf
	}
	text := string(value[1 : len(value)-1])
	return text, ascii || utf8.ValidString(text)
}

// scanOptional reads a string without escapes, or null as "".
func scanOptional(value []byte) (string, bool) {
	if string(value) == "null" {
		return "", true
	}
	return scanText(value)
}

// scanStatus reads a string that is a status of a task.
func scanStatus(value []byte) (string, bool) {
	switch string(value) {
	case `"` + events.StatusPending + `"`:
		return events.StatusPending, true
	case `"` + events.StatusInProgress + `"`:
		return events.StatusInProgress, true
	case `"` + events.StatusCompleted + `"`:
		return events.StatusCompleted, true
	case `"` + events.StatusFailed + `"`:
		return events.StatusFailed, true
	case `"` + events.StatusScheduled + `"`:
		return events.StatusScheduled, true
	case `"` + events.StatusBlocked + `"`:
		return events.StatusBlocked, true
	case `"` + events.StatusCancelled + `"`:
		return events.StatusCancelled, true
	}
	return "", false
}

// scanCount reads a whole number that is not negative.
func scanCount(value []byte) (n int64, ok bool) {
	if len(value) == 0 || len(value) > 18 || value[0] == '0' && len(value) > 1 {
		return 0, false
	}
	for _, c := range value {
		if c < '0' || c > '9' {
			return 0, false
		}
		n = 10*n + int64(c-'0')
	}
	return n, true
}

// scanTask reads the number of a task's id.
func scanTask(value []byte) (int64, bool) {
	if len(value) < 5 || string(value[:3]) != `"t-` || value[len(value)-1] != '"' || value[3] == '0' {
		return 0, false
	}
	return scanCount(value[3 : len(value)-1])
}
