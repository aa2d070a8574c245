package projections

import (
	"encoding/json"
	"fmt"
	"strconv"
	"strings"

	"github.com/claudebench/claudebench/events"
	"github.com/claudebench/claudebench/internal/jsontext"
)

// tasksFold is what a batch does to the rows: one change for each task, in the order of first
// appearance.
type tasksFold struct {
	emptied bool // a flush deleted all rows; only what follows it is in here
	changes map[int64]*taskChange
	order   []*taskChange
	deleted []int64

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
}

// The members that the fold reads of each payload. Times come from the envelope.
type (
	rowCreated struct {
		ID       string          `json:"id"`
		Text     string          `json:"text"`
		Priority int64           `json:"priority"`
		Metadata json.RawMessage `json:"metadata"`
	}
	rowUpdated struct {
		ID      string             `json:"id"`
		Changes events.TaskChanges `json:"changes"`
	}
	rowMoved struct {
		TaskID     string `json:"taskId"`
		InstanceID string `json:"instanceId"`
	}
	rowClaimed struct {
		TaskID   string `json:"taskId"`
		WorkerID string `json:"workerId"`
		Attempt  int64  `json:"attempt"`
		Waited   int64  `json:"waited"`
	}
	rowFinished struct {
		ID       string          `json:"id"`
		WorkerID string          `json:"workerId"`
		Attempt  int64           `json:"attempt"`
		Duration int64           `json:"duration"`
		Result   json.RawMessage `json:"result"`
		Error    json.RawMessage `json:"error"`
	}
	rowDeleted struct {
		ID string `json:"id"`
	}
)

func newTasksFold(size int) *tasksFold {
	return &tasksFold{changes: make(map[int64]*taskChange, size)}
}

func (f *tasksFold) add(e events.Envelope) error {
	switch e.Type {
	case events.TypeTaskCreated:
		return addRow(f, e, func(p *rowCreated) string { return p.ID }, (*taskChange).create)
	case events.TypeTaskUpdated:
		return addRow(f, e, func(p *rowUpdated) string { return p.ID }, (*taskChange).update)
	case events.TypeTaskAssigned:
		return addRow(f, e, func(p *rowMoved) string { return p.TaskID }, (*taskChange).assign)
	case events.TypeTaskUnassigned:
		return addRow(f, e, func(p *rowMoved) string { return p.TaskID }, (*taskChange).unassign)
	case events.TypeTaskClaimed:
		return addRow(f, e, func(p *rowClaimed) string { return p.TaskID }, (*taskChange).claim)
	case events.TypeTaskCompleted, events.TypeTaskFailed:
		return addRow(f, e, func(p *rowFinished) string { return p.ID }, (*taskChange).finish)
	case events.TypeTaskDeleted:
		return addRow(f, e, func(p *rowDeleted) string { return p.ID }, (*taskChange).drop)
	case events.TypeSystemFlushed:
		flushed, err := events.PayloadAs[events.SystemFlushed](e)
		if err != nil {
			return err
		}
		if flushed.Postgres != nil {
			*f = *newTasksFold(0)
			f.emptied = true
		}
	}
	return nil
}

// addRow decodes a payload and merges it into the change of its task.
func addRow[P any](f *tasksFold, e events.Envelope, id func(*P) string, merge func(*taskChange, *P, events.Envelope)) error {
	payload, err := events.PayloadAs[P](e)
	if err != nil {
		return err
	}
	num, err := taskNumber(id(&payload))
	if err != nil {
		return err
	}
	c := f.changes[num]
	if c == nil {
		c = &taskChange{num: num}
		f.changes[num] = c
		f.order = append(f.order, c)
	}
	merge(c, &payload, e)
	if c.replaced {
		c.replaced = false
		f.replaced++
		f.lastReplaced = e.ID
	}
	c.updatedAt, c.seq = e.Timestamp, e.Seq
	if c.deleted {
		f.deleted = append(f.deleted, num)
	}
	return nil
}

// taskNumber returns the n of t-<n>.
func taskNumber(id string) (int64, error) {
	digits, ok := strings.CutPrefix(id, "t-")
	num, err := strconv.ParseInt(digits, 10, 64)
	if !ok || err != nil || num < 1 {
		return 0, fmt.Errorf("%w: %q is no task's id", events.ErrMalformed, id)
	}
	return num, nil
}

func (c *taskChange) create(p *rowCreated, e events.Envelope) {
	*c = taskChange{
		num: c.num, created: true, status: events.StatusPending, priority: p.Priority,
		createdAt: e.Timestamp,
	}
	c.text, c.metadata = c.plain(p.Text), c.document(p.Metadata)
}

func (c *taskChange) update(p *rowUpdated, _ events.Envelope) {
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

func (c *taskChange) assign(p *rowMoved, _ events.Envelope) {
	c.status, c.assignedTo = events.StatusPending, c.owner(p.InstanceID)
	c.set |= colStatus | colAssignedTo
}

func (c *taskChange) unassign(_ *rowMoved, _ events.Envelope) {
	c.status, c.assignedTo = events.StatusPending, nil
	c.set |= colStatus | colAssignedTo
}

func (c *taskChange) claim(p *rowClaimed, e events.Envelope) {
	c.status, c.assignedTo, c.attempt = events.StatusInProgress, c.owner(p.WorkerID), p.Attempt
	c.claimedAt, c.waited = e.Timestamp, p.Waited
	c.set |= colStatus | colAssignedTo | colAttempt | colClaimed
}

func (c *taskChange) finish(p *rowFinished, e events.Envelope) {
	c.status = events.StatusCompleted
	if e.Type == events.TypeTaskFailed {
		c.status = events.StatusFailed
	}
	c.assignedTo, c.attempt = c.owner(p.WorkerID), p.Attempt
	c.result, c.err = c.document(p.Result), c.document(p.Error)
	c.completedAt, c.duration = e.Timestamp, p.Duration
	c.set |= colStatus | colAssignedTo | colAttempt | colResult | colError | colCompleted
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

func (c *taskChange) drop(*rowDeleted, events.Envelope) { c.deleted = true }

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
