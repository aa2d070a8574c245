package projections

import (
	"encoding/json"
	"strings"

	"github.com/claudebench/claudebench/events"
	"github.com/claudebench/claudebench/internal/jsontext"
)

// taskExtras is what only some tasks have: a later time, options, failures, losses, progress, a time
// limit, a cancellation. A change without extras is written by statements that know nothing of them.
type taskExtras struct {
	runAt            int64 // ms since 1970; 0 for none
	failures, losses int64
	errors           []string // JSON texts, the oldest first
	options          *string  // only of a created task
	progress         *string
	timeoutAt        int64 // ms since 1970; 0 for none
	cancellation     *string
}

const (
	keptErrors = 10   // of a task, as in lua/lib/failed_tries.lua
	keptError  = 1000 // bytes of an error; of a longer one, the beginning is kept as a string
)

// optionNames are the members of task.created that are options.
var optionNames = map[string]bool{
	"retry": true, "timeoutMs": true, "dependsOn": true, "onDependencyFailure": true, "uniqueKey": true, "limitKey": true,
}

// withExtras returns the extras of the change, empty if it had none.
func (c *taskChange) withExtras() *taskExtras {
	if c.extras == nil {
		c.extras = &taskExtras{}
	}
	return c.extras
}

// createdStatus returns the status of a task that was just created.
func createdStatus(p *fact) string {
	if p.Status == events.StatusScheduled || p.Status == events.StatusBlocked {
		return p.Status
	}
	return events.StatusPending
}

// createExtras reads the later time and the options of a task. The options keep their text.
func (c *taskChange) createExtras(p *fact, e *events.Envelope) {
	var options strings.Builder
	for name, value := range jsontext.Members(e.Payload) {
		if optionNames[name] {
			options.WriteString(`,"` + name + `":` + string(value))
		}
	}
	if p.runAt != 0 {
		c.withExtras().runAt = p.runAt
	}
	if options.Len() > 0 {
		c.withExtras().options = c.document(json.RawMessage("{" + options.String()[1:] + "}"))
	}
}

// beginTry begins a try of a task that was just claimed: it has made no progress yet. The statement
// that writes a change without extras does the same.
func (c *taskChange) beginTry(p *fact) {
	if p.timeoutAt == 0 && c.extras == nil {
		return
	}
	x := c.withExtras()
	x.progress, x.timeoutAt = nil, p.timeoutAt
	c.set |= colProgress | colTimeout
}

// lose notes that a task was lost with its worker, if it was.
func (c *taskChange) lose(p *fact) {
	if p.Losses > 0 {
		c.withExtras().losses = p.Losses
		c.set |= colLosses
	}
}

// fail counts a failed try and keeps its error.
func (c *taskChange) fail(p *fact, e *events.Envelope) {
	x := c.withExtras()
	x.failures = p.Failures
	text := `{"attempt":` + number(p.Attempt) + `,"workerId":` + jsontext.QuoteAsLua(p.WorkerID) + `,"at":"` + e.Time().Format(events.TimeLayout) +
		`","error":` + shortened(p.Error) + `}`
	x.errors = append(x.errors, *c.document(json.RawMessage(text)))
	if len(x.errors) > keptErrors {
		x.errors = x.errors[1:]
	}
	c.set |= colFailures | colErrors
}

func (c *taskChange) touch(*fact, *events.Envelope) {}

// requeue moves a task that nobody has to another queue.
func (c *taskChange) requeue(p *fact, _ *events.Envelope) { c.setStatus(p.Status) }

func (c *taskChange) retry(p *fact, e *events.Envelope) {
	c.fail(p, e)
	c.setStatus(events.StatusScheduled)
	c.assignedTo = nil
	c.extras.runAt = p.runAt
	c.set |= colAssignedTo | colRunAt
}

func (c *taskChange) progress(p *fact, e *events.Envelope) {
	x := c.withExtras()
	said := jsontext.Texts(e.Payload, "percent", "message", "data")
	x.progress = c.document(json.RawMessage(`{"percent":` + said[0] + `,"message":` + said[1] + `,"data":` + said[2] +
		`,"at":"` + e.Time().Format(events.TimeLayout) + `"}`))
	x.timeoutAt = p.timeoutAt
	c.set |= colProgress | colTimeout
}

func (c *taskChange) requestCancel(_ *fact, e *events.Envelope) {
	m := jsontext.Texts(e.Payload, "by", "reason", "requestedAt", "cancelAt")
	c.withExtras().cancellation = c.cancellation(m[0], m[1], m[2], m[3])
	c.set = c.set&^colFirstCancellation | colCancellation
}

// cancel ends a task. If its worker was asked to end it before, the task has the cancellation already.
func (c *taskChange) cancel(p *fact, e *events.Envelope) {
	x := c.withExtras()
	if x.cancellation == nil {
		m := jsontext.Texts(e.Payload, "by", "reason")
		x.cancellation = c.cancellation(m[0], m[1], "null", "null")
		if c.set&colCancellation == 0 {
			c.set |= colFirstCancellation
		}
	}
	c.setStatus(events.StatusCancelled)
	c.assignedTo = nil
	if p.WorkerID != "" {
		c.assignedTo = c.owner(p.WorkerID)
	}
	c.completedAt, c.duration = e.Timestamp, 0
	c.set |= colAssignedTo | colCompleted
}

// revive begins a finished task anew. Only the number of its claims goes on.
func (c *taskChange) revive(p *fact, _ *events.Envelope) {
	c.setStatus(p.Status)
	c.assignedTo, c.result, c.err, c.completedAt, c.duration = nil, nil, nil, 0, 0
	x := c.withExtras()
	*x = taskExtras{options: x.options, runAt: x.runAt}
	c.set &^= colErrors | colFirstCancellation
	c.set |= colAssignedTo | colResult | colError | colCompleted |
		colFailures | colLosses | colOnlyErrors | colProgress | colTimeout | colCancellation
}

// cancellation returns who cancels a task and why, as the task object has it. The arguments are JSON.
func (c *taskChange) cancellation(by, reason, requestedAt, cancelAt string) *string {
	return c.document(json.RawMessage(`{"by":` + by + `,"reason":` + reason + `,"requestedAt":` + requestedAt + `,"cancelAt":` + cancelAt + `}`))
}

// shortened returns an error as the list of a task's errors has it.
func shortened(raw json.RawMessage) string {
	switch {
	case len(raw) == 0:
		return "null"
	case len(raw) <= keptError:
		return string(raw)
	}
	end := keptError
	for raw[end]&0xc0 == 0x80 { // not within a character
		end--
	}
	return jsontext.QuoteAsLua(string(raw[:end]))
}
