package timetravel

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"iter"
	"strconv"
	"strings"
	"time"

	"github.com/claudebench/claudebench/events"
	"github.com/claudebench/claudebench/internal/api"
	"github.com/claudebench/claudebench/internal/jsontext"
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

// Step is an event of a history.
type Step struct {
	events.Envelope
	GapMs   int64   // since the event before
	Because *Reason // the event that caused this one; nil if none did, or if it is gone
}

// MarshalJSON returns an object with the members event, as the log has it, gapMs and because.
func (s Step) MarshalJSON() ([]byte, error) {
	event, err := s.Encode()
	if err != nil {
		return nil, err
	}
	return jsontext.Marshal(struct {
		Event   json.RawMessage `json:"event"`
		GapMs   int64           `json:"gapMs"`
		Because *Reason         `json:"because,omitempty"`
	}{event, s.GapMs, s.Because})
}

// Reason is an event that caused another.
type Reason struct {
	ID    events.ID   `json:"id"`
	Type  events.Type `json:"type"`
	About string      `json:"about,omitempty"` // the task or the instance
	Actor string      `json:"actor"`
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

// facts are members that the payloads of several types have.
type facts struct {
	Status         string          `json:"status"`
	PreviousStatus string          `json:"previousStatus"`
	Duration       int64           `json:"duration"`
	Waited         int64           `json:"waited"`
	Attempt        int64           `json:"attempt"`
	Priority       *int64          `json:"priority"`
	Reason         *string         `json:"reason"`
	By             string          `json:"by"`
	Losses         int64           `json:"losses"`
	Failures       int64           `json:"failures"`
	Error          json.RawMessage `json:"error"`
	Message        *string         `json:"message"`
	Percent        *float64        `json:"percent"`
	RunAt          *string         `json:"runAt"`
	CancelAt       *string         `json:"cancelAt"`
	LimitKey       string          `json:"limitKey"`
	Text           *string         `json:"text"`
	Changes        json.RawMessage `json:"changes"`
	Roles          json.RawMessage `json:"roles"`
	SessionID      *string         `json:"sessionId"`
	Reassigned     int64           `json:"tasksReassigned"`
	Term           int64           `json:"term"`
	Name           string          `json:"name"`
	Tool           *string         `json:"tool"`
}

// factsOf returns what the payload tells. Members that are not as the scripts write them are left out.
func factsOf(e *events.Envelope) facts {
	var f facts
	if err := json.Unmarshal(e.Payload, &f); err != nil {
		var wrong *json.UnmarshalTypeError
		if !errors.As(err, &wrong) {
			return facts{}
		}
	}
	return f
}

// Status returns how the event changes the status of its task, "" if it has none.
func (s Step) Status() string {
	if !strings.HasPrefix(string(s.Type), "task.") {
		return ""
	}
	f := factsOf(&s.Envelope)
	switch {
	case s.Type == events.TypeTaskDeleted:
		return f.PreviousStatus + " → deleted"
	case f.PreviousStatus == "" || f.PreviousStatus == f.Status:
		return f.Status
	}
	return f.PreviousStatus + " → " + f.Status
}

// Others returns the ids that the event concerns besides the subject.
func (s Step) Others(subject Subject) string {
	found := s.Subjects()
	var ids []string
	for _, id := range append([]string{found.Task}, found.Instances...) {
		if id != "" && id != subject.String() {
			ids = append(ids, id)
		}
	}
	return strings.Join(ids, ", ")
}

// Details returns why the event happened and what it says, as far as it is short.
func (s Step) Details() string {
	f := factsOf(&s.Envelope)
	var parts []string
	say := func(format string, args ...any) { parts = append(parts, fmt.Sprintf(format, args...)) }
	if f.Text != nil {
		say("%q", short(*f.Text))
	}
	if f.Name != "" && strings.HasPrefix(string(s.Type), "hook.") {
		say("%s", f.Name)
	}
	if f.Tool != nil {
		say("tool %s", *f.Tool)
	}
	if len(f.Roles) > 0 {
		say("roles %s", short(string(f.Roles)))
	}
	if f.SessionID != nil {
		say("session %s", *f.SessionID)
	}
	if f.Priority != nil {
		say("priority %d", *f.Priority)
	}
	if f.Attempt > 0 {
		say("attempt %d", f.Attempt)
	}
	if s.Type == events.TypeTaskClaimed {
		say("waited %s", span(f.Waited))
	}
	if f.Duration > 0 {
		say("ran %s", span(f.Duration))
	}
	if f.Percent != nil {
		say("%g %%", *f.Percent)
	}
	if f.Message != nil {
		say("%q", short(*f.Message))
	}
	if given(f.Changes) {
		say("changes %s", short(string(f.Changes)))
	}
	if given(f.Error) {
		say("error %s", short(string(f.Error)))
	}
	if f.Failures > 0 {
		say("failures %d", f.Failures)
	}
	if f.Losses > 0 {
		say("losses %d", f.Losses)
	}
	if f.LimitKey != "" {
		say("limit %s", f.LimitKey)
	}
	if f.RunAt != nil {
		say("runs at %s", *f.RunAt)
	}
	if f.CancelAt != nil {
		say("cancelled at %s", *f.CancelAt)
	}
	if f.Term > 0 {
		say("term %d", f.Term)
	}
	if f.Reassigned > 0 {
		say("%d tasks taken", f.Reassigned)
	}
	if f.Reason != nil {
		say("reason %s", short(*f.Reason))
	}
	switch {
	case s.Because != nil && s.Because.About != "":
		say("because of %s %s (%s)", s.Because.Type, s.Because.About, s.Because.ID)
	case s.Because != nil:
		say("because of %s (%s)", s.Because.Type, s.Because.ID)
	case s.Cause != nil:
		say("request %s", short(*s.Cause))
	}
	return strings.Join(parts, ", ")
}

func given(value json.RawMessage) bool { return len(value) > 0 && string(value) != "null" }

// short returns the beginning of a long text.
func short(text string) string {
	const most = 80
	if runes := []rune(text); len(runes) > most {
		return string(runes[:most-1]) + "…"
	}
	return text
}

// span returns a time in ms for people.
func span(ms int64) string { return (time.Duration(ms) * time.Millisecond).String() }
