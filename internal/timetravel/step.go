package timetravel

import (
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/claudebench/claudebench/events"
	"github.com/claudebench/claudebench/internal/jsontext"
)

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
