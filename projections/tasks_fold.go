package projections

import (
	"encoding/json"
	"strings"

	"github.com/claudebench/claudebench/events"
	"github.com/claudebench/claudebench/internal/jsontext"
)

// tasksFold is what a batch does to the rows: one change for each task, in the order of first
// appearance, and the steps of sessions.
type tasksFold struct {
	emptied bool // a flush deleted all rows; only what follows it is in here
	changes map[int64]*taskChange
	order   []*taskChange
	deleted []int64
	block   []taskChange // memory for further changes

	sessions []sessionStep // what the batch says about sessions

	schedules schedulesFold

	replaced     int       // events with text or JSON that SQL cannot store unchanged
	lastReplaced events.ID // the last of them
}

// column is a bit for each column that a change may set in an existing row.
type column int32

const (
	colStatus column = 1 << iota
	colPriority
	colAttempt
	colAssignedTo
	colText
	colMetadata
	colResult
	colError
	colClaimed // claimed_at, waited_ms
	colCompleted
	// Of extras.
	colRunAt
	colFailures
	colLosses
	colErrors     // to append
	colOnlyErrors // instead of those of the row
	colProgress
	colTimeout
	colCancellation
	colFirstCancellation // only if the row has none
)

// taskChange is a whole row if the batch created the task, or otherwise the columns in set.
type taskChange struct {
	num     int64
	created bool
	deleted bool
	set     column
	// replaced reports that the event being merged had something that SQL cannot store.
	replaced bool

	status     string
	priority   int64
	attempt    int64
	assignedTo *string
	text       string
	// without members; for an existing row only if set says so
	metadata    *string
	members     []byte // JSON text to merge into the metadata; nil for none
	result      *string
	err         *string
	createdAt   int64 // times in ms since 1970; 0 for none
	updatedAt   int64
	claimedAt   int64
	completedAt int64
	waited      int64
	duration    int64
	seq         int64

	extras *taskExtras // nil: the change concerns none of them
}

func newTasksFold(size int) *tasksFold {
	return &tasksFold{changes: make(map[int64]*taskChange, size)}
}

func (f *tasksFold) add(e *events.Envelope, p *fact) error {
	switch e.Type {
	case events.TypeTaskCreated:
		return f.merge(e, p, (*taskChange).create)
	case events.TypeTaskUpdated:
		return f.merge(e, p, (*taskChange).update)
	case events.TypeTaskAssigned:
		return f.merge(e, p, (*taskChange).assign)
	case events.TypeTaskUnassigned:
		return f.merge(e, p, (*taskChange).unassign)
	case events.TypeTaskClaimed:
		return f.merge(e, p, (*taskChange).claim)
	case events.TypeTaskCompleted, events.TypeTaskFailed:
		return f.merge(e, p, (*taskChange).finish)
	case events.TypeTaskDeleted:
		return f.merge(e, p, (*taskChange).drop)
	case events.TypeScheduleChanged, events.TypeScheduleFired, events.TypeScheduleDeleted:
		_, err := f.schedules.addSchedule(e)
		return err
	case events.TypeTaskDue, events.TypeTaskUnblocked, events.TypeTaskBlocked:
		return f.merge(e, p, (*taskChange).requeue)
	case events.TypeTaskRetried:
		return f.merge(e, p, (*taskChange).retry)
	case events.TypeTaskTimedOut:
		return f.merge(e, p, (*taskChange).touch)
	case events.TypeTaskProgressed:
		return f.merge(e, p, (*taskChange).progress)
	case events.TypeTaskCancelRequested:
		return f.merge(e, p, (*taskChange).requestCancel)
	case events.TypeTaskCancelled:
		return f.merge(e, p, (*taskChange).cancel)
	case events.TypeTaskRevived:
		return f.merge(e, p, (*taskChange).revive)
	case events.TypeSystemFlushed:
		f.schedules.flushed()
		flushed, err := events.PayloadAs[events.SystemFlushed](*e)
		if err != nil {
			return err
		}
		if flushed.Postgres != nil {
			*f = *newTasksFold(0)
			f.schedules.flushed()
			f.emptied = true
			return nil
		}
	}
	return f.addSession(e, p)
}

// addSession collects what an event says about sessions.
func (f *tasksFold) addSession(e *events.Envelope, p *fact) error {
	step, ok, err := sessionStepOf(e, p)
	if ok && err == nil {
		f.sessions = append(f.sessions, step)
	}
	return err
}

// merge merges an event into the change of its task.
func (f *tasksFold) merge(e *events.Envelope, p *fact, merge func(*taskChange, *fact, *events.Envelope)) error {
	if p.err != nil {
		return p.err
	}
	c := f.changes[p.Num]
	if c == nil {
		c = f.newChange(p.Num)
	}
	merge(c, p, e)
	if c.replaced {
		c.replaced = false
		f.replaced++
		f.lastReplaced = e.ID
	}
	c.updatedAt, c.seq = e.Timestamp, e.Seq
	if c.deleted {
		f.deleted = append(f.deleted, p.Num)
	}
	return nil
}

// newChange returns an empty change of a task. The changes of a batch lie in few blocks of memory.
func (f *tasksFold) newChange(num int64) *taskChange {
	if len(f.block) == 0 {
		f.block = make([]taskChange, 128)
	}
	c := &f.block[0]
	f.block = f.block[1:]
	c.num = num
	f.changes[num] = c
	f.order = append(f.order, c)
	return c
}

func (c *taskChange) create(p *fact, e *events.Envelope) {
	*c = taskChange{
		num: c.num, created: true, status: createdStatus(p), priority: p.Priority,
		createdAt: e.Timestamp,
	}
	c.text, c.metadata = c.plain(p.Text), c.document(p.Metadata)
	if e.V >= 2 {
		c.createExtras(p, e)
	}
}

func (c *taskChange) update(p *fact, _ *events.Envelope) {
	if p.Changes.Text != nil {
		c.text = c.plain(*p.Changes.Text)
		c.set |= colText
	}
	if p.Changes.Priority != nil {
		c.priority = *p.Changes.Priority
		c.set |= colPriority
	}
	if p.Changes.Metadata != nil {
		c.metadata, c.members = c.document(p.Changes.Metadata), nil
		c.set |= colMetadata
	}
	if members := c.document(p.Changes.MetadataChanges); members != nil {
		// The batch's members are merged with each other first and into the metadata only once: the
		// metadata may be long, and the members seldom are.
		c.members = jsontext.Merge(c.members, []byte(*members))
	}
}

func (c *taskChange) assign(p *fact, _ *events.Envelope) {
	c.setStatus(events.StatusPending)
	c.assignedTo = c.owner(p.InstanceID)
	c.set |= colAssignedTo
	c.lose(p)
}

func (c *taskChange) unassign(p *fact, _ *events.Envelope) {
	c.setStatus(events.StatusPending)
	c.assignedTo = nil
	c.set |= colAssignedTo
	c.lose(p)
}

// setStatus sets the status. A time limit ends with the status that it belongs to.
func (c *taskChange) setStatus(status string) {
	c.status = status
	c.set |= colStatus
	if c.extras != nil {
		c.extras.timeoutAt = 0
		c.set |= colTimeout
	}
}

func (c *taskChange) claim(p *fact, e *events.Envelope) {
	c.setStatus(events.StatusInProgress)
	c.assignedTo, c.attempt = c.owner(p.WorkerID), p.Attempt
	c.claimedAt, c.waited = e.Timestamp, p.Waited
	c.set |= colAssignedTo | colAttempt | colClaimed
	c.beginTry(p)
}

func (c *taskChange) finish(p *fact, e *events.Envelope) {
	status := events.StatusCompleted
	if e.Type == events.TypeTaskFailed {
		status = events.StatusFailed
	}
	c.setStatus(status)
	c.assignedTo, c.attempt = c.owner(p.WorkerID), p.Attempt
	c.result, c.err = c.document(p.Result), c.document(p.Error)
	c.completedAt, c.duration = e.Timestamp, p.Duration
	c.set |= colAssignedTo | colAttempt | colResult | colError | colCompleted
	if e.Type == events.TypeTaskFailed && e.V >= 2 {
		c.fail(p, e)
		c.extras.losses = p.Losses
		c.set |= colLosses
	}
}

// merge merges the members into metadata, which is what the row has or will have; nil for none.
func (c *taskChange) merge(metadata *string) {
	var whole []byte
	if metadata != nil {
		whole = []byte(*metadata)
	}
	merged := string(jsontext.Merge(whole, c.members))
	c.metadata, c.members = &merged, nil
	c.set |= colMetadata
}

func (c *taskChange) drop(*fact, *events.Envelope) { c.deleted = true }

// document returns a user's JSON as the row stores it; nil for none.
func (c *taskChange) document(raw json.RawMessage) *string {
	text, replaced := StoredJSON(raw)
	c.replaced = c.replaced || replaced
	if text == "" {
		return nil
	}
	return &text
}

// plain returns a text as the row stores it.
func (c *taskChange) plain(text string) string {
	stored := StoredText(text)
	c.replaced = c.replaced || stored != text
	return stored
}

func (c *taskChange) owner(id string) *string {
	id = c.plain(id)
	return &id
}

// StoredJSON returns a user's JSON as a row stores it: byte for byte, but with U+FFFD in place of
// each escape that SQL cannot store. replaced reports whether there was one. The API now rejects
// such text, but older logs contain it. The text is "" for none and for null, which the API shows
// alike.
func StoredJSON(raw json.RawMessage) (text string, replaced bool) {
	if len(raw) == 0 || string(raw) == "null" {
		return "", false
	}
	readable, replaced := jsontext.Readable(raw)
	return string(readable), replaced
}

// StoredText returns a text as a row stores it: with U+FFFD in place of each U+0000.
func StoredText(text string) string { return strings.ReplaceAll(text, "\x00", "\ufffd") }
