package fold

import (
	"math"
	"reflect"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/claudebench/claudebench/events"
	"github.com/claudebench/claudebench/internal/jsontext"
)

// millis returns the ms since 1970 of a time in an event, 0 for none or one that is not valid.
func millis(at *string) int64 {
	if at == nil {
		return 0
	}
	moment, err := time.Parse(time.RFC3339Nano, *at)
	if err != nil {
		return 0
	}
	return moment.UnixMilli()
}

// options folds what only some tasks have at their creation.
func (s step) options(t *Task, p events.TaskCreated) {
	t.extras = true
	t.RunAt = millis(p.RunAt)
	if t.options = p.TaskOptions; !reflect.ValueOf(t.options).IsZero() {
		text, err := jsontext.Marshal(t.options)
		if err != nil {
			s.tell("the options of task %s cannot be encoded: %v", p.ID, err)
		}
		t.Options = string(text)
	}
	if p.Status == events.StatusScheduled && t.RunAt == 0 {
		s.tell("task %s is scheduled for no time", p.ID)
	}
	s.depend(t)
	s.unique(t)
	if p.Status != events.StatusScheduled {
		s.ready(t, p.Status)
	}
}

func (s step) due(p events.TaskDue) {
	t := s.find(p.ID, Task{Status: events.StatusScheduled, RunAt: millis(&p.RunAt), Priority: -1, extras: true})
	if t == nil {
		return
	}
	s.was(t, p.PreviousStatus)
	if s.lawful(t, p.Status) && (t.RunAt != millis(&p.RunAt) || s.e.Timestamp < t.RunAt) {
		s.tell("task %s is scheduled for %s, but the event of %s says %s", p.ID, ISO(t.RunAt), ISO(s.e.Timestamp), p.RunAt)
	}
	// Before its first try, what it depends on may have ended without the task having been told: a later
	// step does that, with task.unblocked.
	if untold := t.hadWaits && t.Attempt == 0 && len(t.waits) == 0; !untold || p.Status != events.StatusBlocked {
		s.ready(t, p.Status)
	}
	s.own(t, p.Status, "", kindOf(p.Status))
	t.QueuedAt = s.e.Timestamp
}

func (s step) unblocked(p events.TaskUnblocked) {
	t := s.find(p.ID, Task{Status: events.StatusBlocked, Priority: -1, extras: true})
	if t == nil {
		return
	}
	s.was(t, p.PreviousStatus)
	s.lawful(t, p.Status)
	if p.Reason == reasonDependencies && len(t.waits) > 0 {
		s.tell("task %s no longer waits for other tasks, but %d are not completed", p.ID, len(t.waits))
	}
	s.ready(t, p.Status)
	s.own(t, p.Status, "", kindOf(p.Status))
	t.QueuedAt = s.e.Timestamp
}

func (s step) blockedAgain(p events.TaskBlocked) {
	t := s.find(p.ID, Task{Status: events.StatusPending, Priority: -1, extras: true})
	if t == nil {
		return
	}
	s.was(t, p.PreviousStatus)
	s.lawful(t, p.Status)
	if limit, set := s.limits[t.options.LimitKey]; !t.partial && s.whole && (!set || s.limited[t.options.LimitKey] <= limit) {
		s.tell("task %s has to wait for its turn, but its limit leaves room", p.ID)
	}
	s.own(t, p.Status, "", kindOf(p.Status))
}

// byOwner checks that an event is about the claim that its worker has. what ends the sentence.
func (s step) byOwner(t *Task, to, worker string, attempt int64, what string) {
	switch {
	case !s.lawful(t, to):
	case t.AssignedTo != worker:
		s.tell("task %s is %s by %s while it is %s", t.ID(), what, worker, t.Describe())
	case !t.partial && t.Attempt != attempt:
		s.tell("task %s is %s as attempt %d during attempt %d", t.ID(), what, attempt, t.Attempt)
	}
}

func (s step) retried(p events.TaskRetried) {
	t := s.find(p.ID, Task{Status: events.StatusInProgress, AssignedTo: p.WorkerID, Priority: -1, Attempt: p.Attempt})
	if t == nil {
		return
	}
	s.was(t, p.PreviousStatus)
	s.byOwner(t, events.StatusScheduled, p.WorkerID, p.Attempt, "tried again")
	if !t.partial {
		if p.Duration != s.e.Timestamp-t.ClaimedAt {
			s.tell("task %s ran for %d ms, but the event says %d", p.ID, s.e.Timestamp-t.ClaimedAt, p.Duration)
		}
		s.mayRetry(t, p)
	}
	s.leave(t)
	s.counted["tasksRetried"]++
	s.failed(t, failure{p.WorkerID, p.Attempt, p.Failures, document(p.Error)})
	t.RunAt = millis(&p.RunAt)
	s.own(t, events.StatusScheduled, "", KindScheduled)
	t.Attempt, t.ClaimedAt, t.AssignedSeq, t.PreviousAssignment = p.Attempt, 0, 0, p.WorkerID
	s.settle(p.WorkerID)
}

// mayRetry checks that a try is left, and that the task waits as its policy says.
func (s step) mayRetry(t *Task, p events.TaskRetried) {
	r := t.options.Retry
	switch {
	case r == nil || p.Failures >= int64(r.MaxAttempts):
		s.tell("task %s is tried again after %d failures, but no try is left", p.ID, p.Failures)
		return
	case t.Cancel != "":
		s.tell("task %s is tried again, but it was called off", p.ID)
	}
	pause := min(float64(r.BackoffMs)*math.Pow(r.Factor, float64(p.Failures-1)), float64(r.MaxBackoffMs))
	// The clock of Redis may be behind the time of the event, but never before it.
	if latest := s.e.Timestamp + int64(math.Ceil(pause*(1+r.Jitter))) + 1; millis(&p.RunAt) > latest {
		s.tell("task %s waits until %s, but its policy says %s at the latest", p.ID, p.RunAt, ISO(latest))
	}
}

func (s step) timedOut(p events.TaskTimedOut) {
	t := s.find(p.ID, Task{Status: events.StatusInProgress, AssignedTo: p.WorkerID, Priority: -1, Attempt: p.Attempt, extras: true})
	if t == nil {
		return
	}
	s.byOwner(t, events.StatusInProgress, p.WorkerID, p.Attempt, "timed out")
	if at := millis(&p.TimeoutAt); !t.partial && (at != t.TimeoutAt || s.e.Timestamp < at) {
		s.tell("task %s has time until %s, but the event of %s says %s", p.ID, ISO(t.TimeoutAt), ISO(s.e.Timestamp), p.TimeoutAt)
	}
	s.counted["tasksTimedOut"]++
	s.touch(t)
}

func (s step) progressed(p events.TaskProgressed) {
	t := s.find(p.ID, Task{Status: events.StatusInProgress, AssignedTo: p.WorkerID, Priority: -1, Attempt: p.Attempt})
	if t == nil {
		return
	}
	s.byOwner(t, events.StatusInProgress, p.WorkerID, p.Attempt, "reported on")
	said := jsontext.Texts(s.e.Payload, "percent", "message", "data")
	t.extras = true
	t.Progress = `{"percent":` + said[0] + `,"message":` + said[1] + `,"data":` + said[2] + `,"at":"` + ISO(s.e.Timestamp) + `"}`
	s.watch(t, millis(p.TimeoutAt), t.CancelAt)
	s.touch(t)
}

func (s step) cancelRequested(p events.TaskCancelRequested) {
	t := s.find(p.ID, Task{Status: events.StatusInProgress, AssignedTo: p.WorkerID, Priority: -1, Attempt: p.Attempt})
	if t == nil {
		return
	}
	s.byOwner(t, events.StatusInProgress, p.WorkerID, p.Attempt, "called off")
	if t.Cancel != "" {
		s.tell("task %s was called off before", p.ID)
	}
	t.extras, t.Cancel = true, cancellation(s.by(), ISO(s.e.Timestamp), p.CancelAt)
	s.watch(t, t.TimeoutAt, millis(&p.CancelAt))
	s.touch(t)
}

func (s step) cancelled(p events.TaskCancelled) {
	t := s.find(p.ID, Task{Status: p.PreviousStatus, AssignedTo: deref(p.WorkerID), Priority: -1, Attempt: p.Attempt})
	if t == nil {
		return
	}
	s.was(t, p.PreviousStatus)
	s.lawful(t, events.StatusCancelled)
	owner := deref(p.WorkerID)
	if owner != t.AssignedTo {
		s.tell("the event says that %[2]s had task %[1]s, but it was %[3]s", p.ID, orNobody(owner), t.Describe())
	}
	s.leave(t)
	t.extras = true
	if t.Cancel == "" {
		t.Cancel = cancellation(s.by(), "", "")
	}
	s.counted["tasksCancelled"]++
	s.own(t, events.StatusCancelled, owner, KindNone)
	s.end(t, events.StatusCancelled)
	t.CompletedAt = s.e.Timestamp
	if owner != "" {
		s.settle(owner)
	}
}

// by returns the members by and reason of the event as the script has written them, because the task's
// hash has the same bytes.
func (s step) by() string {
	m := jsontext.Texts(s.e.Payload, "by", "reason")
	return `"by":` + m[0] + `,"reason":` + m[1]
}

// cancellation returns who called a task off and why, as its hash has it. Times are ISO 8601, "" for
// none.
func cancellation(by, requestedAt, cancelAt string) string {
	quoted := func(text string) string {
		if text == "" {
			return "null"
		}
		return jsontext.QuoteAsLua(text)
	}
	return `{` + by + `,"requestedAt":` + quoted(requestedAt) + `,"cancelAt":` + quoted(cancelAt) + `}`
}

func (s step) revived(p events.TaskRevived) {
	t := s.find(p.ID, Task{Status: p.PreviousStatus, Priority: -1, Attempt: p.Attempt, extras: true})
	if t == nil {
		return
	}
	s.was(t, p.PreviousStatus)
	s.lawful(t, p.Status)
	if !t.partial && t.Attempt != p.Attempt {
		s.tell("the last attempt of task %s was %d, but the event says %d", p.ID, t.Attempt, p.Attempt)
	}
	previous := t.AssignedTo
	if previous == "" {
		previous = t.PreviousAssignment
	}
	t.waits, t.doomed, t.hadWaits = nil, 0, false
	s.unique(t)
	s.ready(t, p.Status)
	s.own(t, p.Status, "", kindOf(p.Status))
	t.QueuedAt, t.ClaimedAt, t.AssignedSeq, t.CompletedAt, t.PreviousAssignment = s.e.Timestamp, 0, 0, 0, previous
	t.Failures, t.Losses, t.Errors, t.Progress, t.Cancel, t.Result, t.Error = 0, 0, nil, "", "", "", ""
}

// failure is a try that failed.
type failure struct {
	worker   string
	attempt  int64
	failures int64  // with this one
	err      string // JSON, "" for none
}

const (
	maxErrors    = 10
	longestError = 1000 // bytes
)

// failed counts a failure and adds it to the task's list.
func (s step) failed(t *Task, f failure) {
	if !t.partial && f.failures != t.Failures+1 {
		s.tell("task %s failed %d times before, but the event says %d with this one", t.ID(), t.Failures, f.failures)
	}
	t.extras, t.Failures = true, f.failures
	err := f.err
	switch {
	case err == "":
		err = "null"
	case len(err) > longestError:
		end := longestError
		for end > 0 && !utf8.RuneStart(err[end]) {
			end--
		}
		err = jsontext.QuoteAsLua(err[:end])
	}
	entry := `{"attempt":` + strconv.FormatInt(f.attempt, 10) + `,"workerId":` + jsontext.QuoteAsLua(f.worker) + `,"at":"` + ISO(s.e.Timestamp) + `","error":` + err + `}`
	t.Errors = append(t.Errors, entry)
	if len(t.Errors) > maxErrors {
		t.Errors = t.Errors[len(t.Errors)-maxErrors:]
	}
}

// ErrorList returns the failures as the task's hash has them.
func (t *Task) ErrorList() string { return strings.Join(t.Errors, "\x1e") }

// lost folds that a task left its owner. losses is how often it was lost with its worker, 0 if it was
// not lost now.
func (s step) lost(t *Task, losses int64) {
	s.leave(t)
	if losses == 0 {
		return
	}
	if !t.partial && losses != t.Losses+1 {
		s.tell("task %s was lost %d times before, but the event says %d with this one", t.ID(), t.Losses, losses)
	}
	t.extras, t.Losses = true, losses
	s.counted["tasksLost"]++
}

// begun folds the beginning of a try.
func (s step) begun(t *Task, timeoutAt *string) {
	if !t.partial && (timeoutAt != nil) != (t.options.TimeoutMs != 0) {
		s.tell("task %s has a time limit of %d ms, but the event says otherwise", t.ID(), t.options.TimeoutMs)
	}
	t.Progress = ""
	s.watch(t, millis(timeoutAt), 0)
}

// watch folds that the deadlines of a claimed task have changed. Call leave before its owner changes.
func (s step) watch(t *Task, timeoutAt, cancelAt int64) {
	s.leave(t)
	t.TimeoutAt, t.CancelAt = timeoutAt, cancelAt
	if timeoutAt != 0 || cancelAt != 0 {
		s.deadlines++
	}
	if cancelAt != 0 {
		add(s.cancelling, t.AssignedTo, 1)
		t.cancelling = t.AssignedTo
	}
}

// leave folds that a task has no deadlines any more.
func (s step) leave(t *Task) {
	if t.TimeoutAt != 0 || t.CancelAt != 0 {
		s.deadlines--
	}
	if t.CancelAt != 0 {
		add(s.cancelling, t.cancelling, -1)
	}
	t.TimeoutAt, t.CancelAt, t.cancelling = 0, 0, ""
}

// Deadline returns when a claimed task ends by itself, and whether it does.
func (t *Task) Deadline() (int64, bool) {
	switch {
	case t.TimeoutAt == 0:
		return t.CancelAt, t.CancelAt != 0
	case t.CancelAt == 0:
		return t.TimeoutAt, true
	}
	return min(t.TimeoutAt, t.CancelAt), true
}
