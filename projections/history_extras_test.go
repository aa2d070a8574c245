package projections_test

import (
	"encoding/json"
	"fmt"
	"strings"
	"time"

	"pgregory.net/rapid"

	"github.com/claudebench/claudebench/events"
)

// stamp returns a time as events have it, "" for 0.
func stamp(ms int64) string {
	if ms == 0 {
		return ""
	}
	return time.UnixMilli(ms).UTC().Format(events.TimeLayout)
}

// createWith creates a task with options. later is how long it waits for its time, in ms, negative for
// a time that has passed.
func (h *history) createWith(text string, later, timeout int64, attempts int) string {
	id := fmt.Sprintf("t-%d", h.seq+1)
	null := json.RawMessage("null")
	p := events.TaskCreated{ID: id, Text: text, Status: events.StatusPending, Priority: 50, Metadata: null, Result: null, Error: null}
	p.TimeoutMs = timeout
	t := &task{id: id, text: text, metadata: "null", priority: 50, created: h.now}
	t.timeout = timeout
	if later != 0 {
		t.runAt = h.now + later
		p.RunAt = optional(stamp(t.runAt))
	}
	if later > 0 {
		p.Status = events.StatusScheduled
	}
	var options []string
	if attempts > 0 {
		p.Retry = &events.Retry{MaxAttempts: attempts, BackoffMs: 1000, Factor: 1.5, MaxBackoffMs: 3_600_000, Jitter: 0.1}
		options = append(options, fmt.Sprintf(`"retry":{"maxAttempts":%d,"backoffMs":1000,"factor":1.5,"maxBackoffMs":3600000,"jitter":0.1}`, attempts))
	}
	if timeout != 0 {
		options = append(options, fmt.Sprintf(`"timeoutMs":%d`, timeout))
	}
	if len(options) > 0 {
		t.options = "{" + strings.Join(options, ",") + "}"
	}
	t.status = p.Status
	h.touch(t, h.emit(events.TypeTaskCreated, p))
	h.tasks[id], h.ids = t, append(h.ids, id)
	return id
}

// fail counts a failure of a task that is about to fail.
func (h *history) fail(t *task, failure string) {
	t.failures++
	if len(failure) > 1000 {
		failure = `"` + strings.NewReplacer(`"`, `\"`, `\`, `\\`, "\x7f", `\u007f`).Replace(strings.ToValidUTF8(failure[:1000], "")) + `"`
	}
	worker := strings.ReplaceAll(t.assignedTo, `"`, `\"`)
	t.errors = append(t.errors, fmt.Sprintf(`{"attempt":%d,"workerId":"%s","at":"%s","error":%s}`, t.attempt, worker, stamp(h.now), failure))
	if len(t.errors) > 10 {
		t.errors = t.errors[1:]
	}
}

// lose takes a task from its worker, which is gone. It goes to another instance, "" for a queue.
func (h *history) lose(id, to string) {
	t := h.tasks[id]
	t.losses++
	var e events.Envelope
	if to == "" {
		e = h.emit(events.TypeTaskUnassigned, events.TaskUnassigned{
			TaskID: id, InstanceID: t.assignedTo, PreviousAssignment: optional(t.assignedTo), Reason: events.ReasonInstanceFailed,
			Status: events.StatusPending, PreviousStatus: t.status, Losses: t.losses,
		})
		t.lastOwner = t.assignedTo
	} else {
		e = h.emit(events.TypeTaskAssigned, events.TaskAssigned{
			TaskID: id, InstanceID: to, PreviousAssignment: optional(t.assignedTo), Reason: events.ReasonSessionChanged,
			Status: events.StatusPending, PreviousStatus: t.status, Losses: t.losses,
		})
	}
	t.status, t.assignedTo, t.timeoutAt = events.StatusPending, to, 0
	h.touch(t, e)
}

// retry fails a try. The next one begins after pause.
func (h *history) retry(id, failure string, pause int64) {
	t := h.tasks[id]
	h.fail(t, failure)
	t.runAt = h.now + pause
	e := h.emit(events.TypeTaskRetried, events.TaskRetried{
		ID: id, Status: events.StatusScheduled, PreviousStatus: t.status, WorkerID: t.assignedTo, Attempt: t.attempt,
		Duration: h.now - t.claimed, Failures: t.failures, Error: json.RawMessage(failure), RunAt: stamp(t.runAt),
	})
	t.status, t.lastOwner, t.assignedTo, t.timeoutAt = events.StatusScheduled, t.assignedTo, "", 0
	h.touch(t, e)
}

func (h *history) due(id string) {
	t := h.tasks[id]
	e := h.emit(events.TypeTaskDue, events.TaskDue{ID: id, Status: events.StatusPending, PreviousStatus: t.status, RunAt: stamp(t.runAt)})
	t.status = events.StatusPending
	h.touch(t, e)
}

func (h *history) timeOut(id string) {
	t := h.tasks[id]
	h.touch(t, h.emit(events.TypeTaskTimedOut, events.TaskTimedOut{
		ID: id, WorkerID: t.assignedTo, Attempt: t.attempt, TimeoutMs: t.timeout, TimeoutAt: stamp(t.timeoutAt),
	}))
}

// progressed reports progress. message and data are JSON text.
func (h *history) progressed(id string, percent float64, message, data string) {
	t := h.tasks[id]
	if t.timeout != 0 {
		t.timeoutAt = h.now + t.timeout
	}
	p := events.TaskProgressed{
		ID: id, WorkerID: t.assignedTo, Attempt: t.attempt, Percent: &percent, Data: json.RawMessage(data),
		TimeoutAt: optional(stamp(t.timeoutAt)), ProgressedAt: stamp(h.now),
	}
	if err := json.Unmarshal([]byte(message), &p.Message); err != nil {
		panic(err)
	}
	t.progress = fmt.Sprintf(`{"percent":%v,"message":%s,"data":%s,"at":"%s"}`, percent, message, data, stamp(h.now))
	h.touch(t, h.emit(events.TypeTaskProgressed, p))
}

func (h *history) requestCancel(id, reason string) {
	t := h.tasks[id]
	t.cancellation = fmt.Sprintf(`{"by":"boss","reason":"%s","requestedAt":"%s","cancelAt":"%s"}`, reason, stamp(h.now), stamp(h.now+30_000))
	h.touch(t, h.emit(events.TypeTaskCancelRequested, events.TaskCancelRequested{
		ID: id, By: "boss", Reason: &reason, WorkerID: t.assignedTo, Attempt: t.attempt, RequestedAt: stamp(h.now), CancelAt: stamp(h.now + 30_000),
	}))
}

func (h *history) cancel(id string) {
	t := h.tasks[id]
	if t.cancellation == "" {
		t.cancellation = `{"by":"boss","reason":null,"requestedAt":null,"cancelAt":null}`
	}
	e := h.emit(events.TypeTaskCancelled, events.TaskCancelled{
		ID: id, By: "boss", Status: events.StatusCancelled, PreviousStatus: t.status, WorkerID: optional(t.assignedTo), Attempt: t.attempt,
		CompletedAt: stamp(h.now),
	})
	t.status, t.completed, t.timeoutAt = events.StatusCancelled, h.now, 0
	h.touch(t, e)
}

// block makes a pending task wait for its turn.
func (h *history) block(id string) {
	t := h.tasks[id]
	e := h.emit(events.TypeTaskBlocked, events.TaskBlocked{ID: id, Status: events.StatusBlocked, PreviousStatus: t.status, LimitKey: "k"})
	t.status = events.StatusBlocked
	h.touch(t, e)
}

func (h *history) unblock(id string) {
	t := h.tasks[id]
	e := h.emit(events.TypeTaskUnblocked, events.TaskUnblocked{ID: id, Status: events.StatusPending, PreviousStatus: t.status, Reason: "limit"})
	t.status = events.StatusPending
	h.touch(t, e)
}

func (h *history) revive(id, status string) {
	t := h.tasks[id]
	e := h.emit(events.TypeTaskRevived, events.TaskRevived{ID: id, By: "boss", Status: status, PreviousStatus: t.status, Attempt: t.attempt, RevivedAt: stamp(h.now)})
	t.status, t.assignedTo, t.result, t.err, t.completed, t.duration = status, "", "null", "", 0, 0
	t.lastOwner = ""
	t.extras = extras{options: t.options, timeout: t.timeout, runAt: t.runAt}
	h.touch(t, e)
}

// wanted returns the extras as the columns of a row must be.
func (x *extras) wanted() string {
	at := func(ms int64) any {
		if ms == 0 {
			return nil
		}
		return time.UnixMilli(ms).UTC()
	}
	return fmt.Sprint(at(x.runAt), x.failures, x.losses, strings.Join(x.errors, ","), x.progress, at(x.timeoutAt), x.cancellation, x.options)
}

// extrasSQL selects the extras of rows in the format of wanted.
const extrasSQL = `run_at AT TIME ZONE 'UTC', failures, losses, coalesce(array_to_string(errors, ','), ''), coalesce(progress::text, ''),
	timeout_at AT TIME ZONE 'UTC', coalesce(cancellation::text, ''), coalesce(options::text, '')`

// The statuses that a step of randomExtras needs.
var statusOfStep = [][]string{
	0: {}, 1: {},
	2:  {events.StatusScheduled},
	3:  {events.StatusInProgress},
	4:  {events.StatusInProgress},
	5:  {events.StatusInProgress},
	6:  {events.StatusInProgress},
	7:  {events.StatusInProgress},
	8:  {events.StatusPending},
	9:  {events.StatusBlocked},
	10: {events.StatusFailed},
	11: {events.StatusCancelled},
	12: {events.StatusScheduled, events.StatusBlocked, events.StatusPending, events.StatusInProgress},
	13: {events.StatusInProgress},
}

// randomExtras draws a step of a task that has, or then has, extras. pick draws a task by its status.
func randomExtras(t *rapid.T, h *history, worker string, pick func(...string) (string, bool)) {
	step := rapid.IntRange(0, len(statusOfStep)-1).Draw(t, "kind")
	var id string
	if of := statusOfStep[step]; len(of) > 0 {
		var ok bool
		if id, ok = pick(of...); !ok {
			step = 0
		}
	}
	failure := rapid.SampledFrom([]string{`"no luck"`, `{"n":1.0}`, `{"long":"` + strings.Repeat("é\u2028\x7f", 200) + `"}`}).Draw(t, "why")
	switch step {
	case 0, 1:
		h.createWith("with options", rapid.Int64Range(-1, 1).Draw(t, "later")*1000,
			rapid.SampledFrom([]int64{0, 60_000}).Draw(t, "timeout"), rapid.IntRange(0, 3).Draw(t, "attempts"))
	case 2:
		h.due(id)
	case 3:
		h.retry(id, failure, 2000)
	case 4, 5:
		h.progressed(id, float64(step)/2, rapid.SampledFrom([]string{"null", `"half"`}).Draw(t, "message"), `{"a":1.0,"é":[]}`)
	case 6:
		h.lose(id, rapid.SampledFrom([]string{"", worker}).Draw(t, "to"))
	case 7:
		if h.tasks[id].cancellation == "" {
			h.requestCancel(id, "why not")
		}
	case 8:
		if h.tasks[id].assignedTo == "" {
			h.block(id)
		}
	case 9:
		h.unblock(id)
	case 10, 11:
		h.revive(id, rapid.SampledFrom([]string{events.StatusPending, events.StatusBlocked}).Draw(t, "as"))
	case 12:
		h.cancel(id)
	case 13:
		if h.tasks[id].timeout != 0 {
			h.timeOut(id)
			h.retry(id, `{"reason":"TIMED_OUT","timeoutMs":60000}`, 1)
		}
	}
}
