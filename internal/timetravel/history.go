package timetravel

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"iter"
	"strconv"
	"strings"

	"github.com/claudebench/claudebench/events"
	"github.com/claudebench/claudebench/internal/api"
)

// Subject is whose history is told: a task's or an instance's.
type Subject struct {
	Task     int64 // the number of the task; 0 for an instance
	Instance string
}

// TaskSubject returns the subject with the id of a task, t-<n>, and reports whether it is one.
func TaskSubject(id string) (Subject, bool) {
	digits, ok := strings.CutPrefix(id, "t-")
	n, err := strconv.ParseInt(digits, 10, 64)
	if !ok || err != nil || n < 1 || strconv.FormatInt(n, 10) != digits {
		return Subject{}, false
	}
	return Subject{Task: n}, true
}

// String returns the id.
func (s Subject) String() string {
	if s.Task != 0 {
		return "t-" + strconv.FormatInt(s.Task, 10)
	}
	return s.Instance
}

// concerns reports whether an event is about the subject.
func (s Subject) concerns(e *events.Envelope) bool {
	found := e.Subjects()
	if s.Task != 0 {
		return found.Task == s.String()
	}
	for _, id := range found.Instances {
		if id == s.Instance {
			return true
		}
	}
	return false
}

// Log is the log in Redis. An *events.Reader is one.
type Log interface {
	Range(ctx context.Context, from, to events.ID) iter.Seq2[events.Entry, error]
	Locate(ctx context.Context, seq int64) (events.ID, error)
}

// Pages reads a page of the history from an index of events, oldest first: behind cursor, or from the
// beginning for "". It returns the event objects of the API, the cursor of the next page ("" if there is
// none), and the last event that the index has (zero if the caller does not know).
type Pages func(ctx context.Context, cursor string) (page []json.RawMessage, next string, at events.ID, err error)

// HistoryOptions say what is told, and from what. Log or Index is required.
type HistoryOptions struct {
	Subject Subject
	Log     Log   // nil: only what the index has
	Index   Pages // nil: only what the log has
	// Limit is how many events the history has at most: the last ones. It must be positive. The totals
	// count all.
	Limit int
	// Find returns an event that caused another, nil if it is gone. Nil means that Log finds it.
	Find func(ctx context.Context, id events.ID) (*events.Envelope, error)
}

// History is the story of a task or an instance.
type History struct {
	Subject string   `json:"subject"`
	Events  []Step   `json:"events"`            // oldest first
	LeftOut int64    `json:"leftOut,omitempty"` // events before the first of them
	Totals  Totals   `json:"totals"`            // of all events
	Notes   []string `json:"notes,omitempty"`   // what may be missing
}

// Totals are the sums of a history.
type Totals struct {
	Events int64            `json:"events"`
	First  *events.ID       `json:"first,omitempty"`
	Last   *events.ID       `json:"last,omitempty"`
	SpanMs int64            `json:"spanMs"` // from the first event to the last
	Types  map[string]int64 `json:"types"`  // events of each type
	// WaitedMs is how long the task, or the instance's tasks, waited for their claims, and RanMs how
	// long the tries ran that were completed or failed.
	WaitedMs int64 `json:"waitedMs"`
	RanMs    int64 `json:"ranMs"`
	// Status is the last status of a task, and InStatusMs how long it had each status until its last
	// event.
	Status     string           `json:"status,omitempty"`
	InStatusMs map[string]int64 `json:"inStatusMs,omitempty"`
	LongestGap *LongestGap      `json:"longestGap,omitempty"`
}

// LongestGap is the longest time between two events of a history.
type LongestGap struct {
	Ms    int64     `json:"ms"`
	After events.ID `json:"after"`
}

// maxReasons is how many events are looked up because they caused others.
const maxReasons = 1000

// Tell reads a history.
func Tell(ctx context.Context, o HistoryOptions) (*History, error) {
	h := &History{Subject: o.Subject.String(), Events: []Step{}, Totals: Totals{Types: map[string]int64{}}}
	if o.Subject.Task != 0 {
		h.Totals.InStatusMs = map[string]int64{}
	}
	t := teller{HistoryOptions: o, History: h}
	if err := t.fromIndex(ctx); err != nil {
		return nil, fmt.Errorf("history of %s: %w", o.Subject, err)
	}
	if err := t.fromLog(ctx); err != nil {
		return nil, fmt.Errorf("history of %s: %w", o.Subject, err)
	}
	t.order()
	if err := t.explain(ctx); err != nil {
		return nil, fmt.Errorf("history of %s: %w", o.Subject, err)
	}
	return h, nil
}

// teller is the telling of one history.
type teller struct {
	HistoryOptions
	*History
	at   events.ID // the index has the events up to it
	last events.ID // of the subject
}

func (t *teller) fromIndex(ctx context.Context) error {
	for cursor := ""; t.Index != nil; {
		page, next, at, err := t.Index(ctx, cursor)
		if err != nil {
			return err
		}
		for _, text := range page {
			e, err := envelope(text)
			if err != nil {
				return fmt.Errorf("read the index of events: %w", err)
			}
			t.add(&e)
		}
		if t.at = at; next == "" {
			return nil
		}
		cursor = next
	}
	return nil
}

// envelope returns the envelope of an event object of the API.
func envelope(text json.RawMessage) (events.Envelope, error) {
	var e api.Event
	if err := json.Unmarshal(text, &e); err != nil {
		return events.Envelope{}, err
	}
	id, err := events.ParseID(e.ID)
	return events.Envelope{
		ID: id, Seq: e.Seq, Type: events.Type(e.Type), V: e.V, Timestamp: e.Timestamp, Actor: e.Actor, Cause: e.Cause, Trace: e.Trace,
		Payload: json.RawMessage(e.Payload),
	}, err
}

// fromLog adds the events that the index does not have.
func (t *teller) fromLog(ctx context.Context) error {
	if t.Log == nil {
		return nil
	}
	from := t.at
	switch {
	case !from.IsZero():
		from.Seq++
	case t.HistoryOptions.Subject.Task != 0: // nothing is about a task before it is created
		var err error
		if from, err = t.Log.Locate(ctx, t.HistoryOptions.Subject.Task); err != nil || from.IsZero() {
			return err
		}
		if from.Seq > t.HistoryOptions.Subject.Task {
			t.begins(from.Seq)
		}
	}
	first := from.IsZero()
	for entry, err := range t.Log.Range(ctx, from, events.ID{}) {
		var gap *events.GapError
		switch {
		case errors.As(err, &gap):
			t.Notes = append(t.Notes, fmt.Sprintf("the events with seq %d to %d are missing", gap.Expected, gap.Got-1))
		case err != nil:
			return err
		case entry.Err != nil:
		default:
			if first && entry.ID.Seq > 1 {
				t.begins(entry.ID.Seq)
			}
			first = false
			if t.HistoryOptions.Subject.concerns(&entry.Envelope) {
				t.add(&entry.Envelope)
			}
		}
	}
	return nil
}

func (t *teller) begins(seq int64) {
	t.Notes = append(t.Notes, fmt.Sprintf("the log begins with seq %d; what was before is not told", seq))
}

// add adds the next event.
func (t *teller) add(e *events.Envelope) {
	if e.Seq <= t.last.Seq {
		return // the index and the log both have it
	}
	step := Step{Envelope: *e}
	sums := &t.Totals
	if sums.Events++; sums.Events == 1 {
		sums.First = &e.ID
	} else {
		step.GapMs = e.Timestamp - t.last.MS
		sums.SpanMs += step.GapMs
		if sums.LongestGap == nil || step.GapMs > sums.LongestGap.Ms {
			sums.LongestGap = &LongestGap{Ms: step.GapMs, After: t.last}
		}
	}
	sums.Last, t.last = &e.ID, e.ID
	sums.Types[string(e.Type)]++
	f := factsOf(e)
	sums.RanMs += f.Duration
	sums.WaitedMs += f.Waited
	if t.HistoryOptions.Subject.Task != 0 {
		if sums.Status != "" && !events.Terminal(sums.Status) {
			sums.InStatusMs[sums.Status] += step.GapMs
		}
		switch {
		case e.Type == events.TypeTaskDeleted:
			sums.Status = "deleted"
		case f.Status != "" && strings.HasPrefix(string(e.Type), "task."):
			sums.Status = f.Status
		}
	}
	// A ring: the oldest is replaced, and the order is made at the end.
	if len(t.Events) < t.Limit {
		t.Events = append(t.Events, step)
		return
	}
	t.Events[t.LeftOut%int64(t.Limit)] = step
	t.LeftOut++
}

// order puts the events of the ring into their order.
func (t *teller) order() {
	if turned := int(t.LeftOut % int64(t.Limit)); turned > 0 {
		t.Events = append(append(make([]Step, 0, t.Limit), t.Events[turned:]...), t.Events[:turned]...)
	}
}

// explain finds the events that caused others.
func (t *teller) explain(ctx context.Context) error {
	known := map[events.ID]*Reason{}
	for i := range t.Events {
		known[t.Events[i].ID] = reasonOf(&t.Events[i].Envelope)
	}
	looked := 0
	for i := range t.Events {
		step := &t.Events[i]
		if step.Cause == nil {
			continue
		}
		id, err := events.ParseID(*step.Cause)
		if err != nil || id.Seq == 0 || id.Seq >= step.Seq {
			continue // it is the id of a request
		}
		reason, ok := known[id]
		if !ok && looked < maxReasons {
			looked++
			e, err := t.find(ctx, id)
			if err != nil {
				return err
			}
			if e != nil && e.ID == id {
				reason = reasonOf(e)
			}
			known[id] = reason
		}
		step.Because = reason
	}
	return nil
}

func reasonOf(e *events.Envelope) *Reason {
	return &Reason{ID: e.ID, Type: e.Type, About: e.Subjects().First(), Actor: e.Actor}
}

func (t *teller) find(ctx context.Context, id events.ID) (*events.Envelope, error) {
	if t.Find != nil {
		return t.Find(ctx, id)
	}
	if t.Log == nil {
		return nil, nil
	}
	for entry, err := range t.Log.Range(ctx, id, id) {
		if err != nil || entry.Err != nil {
			return nil, err
		}
		return &entry.Envelope, nil
	}
	return nil, nil
}
