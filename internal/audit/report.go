package audit

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"strings"
	"time"

	"github.com/claudebench/claudebench/events"
	"github.com/claudebench/claudebench/internal/fold"
	"github.com/claudebench/claudebench/internal/jsontext"
	"github.com/claudebench/claudebench/internal/terminal"
)

// maxViolations is how many violations a report keeps. The others are only counted.
const maxViolations = 100

// Report is the result of Verify.
type Report struct {
	Namespace string    `json:"namespace"`
	Base      int64     `json:"base"`  // seq of the first event in the log
	Start     int64     `json:"start"` // seq of the log's last event when Verify started
	Last      events.ID `json:"last"`  // the last event that was read
	// What was compared with the log.
	Events     int64 `json:"events"`
	Tasks      int64 `json:"tasks"`     // hashes of tasks that Redis has, or must have
	Instances  int64 `json:"instances"` // hashes and indexes, including instances that left
	Queues     int64 `json:"queues"`
	Places     int64 `json:"places"`    // entries of queues and indexes
	Schedules  int64 `json:"schedules"` // hashes and indexes
	Keys       int64 `json:"keys"`      // of tasks, instances, queues and schedules, all that exist
	Rows       int64 `json:"rows"`      // in Postgres
	Sessions   int64 `json:"sessions"`  // in Postgres
	EventRows  int64 `json:"eventRows"` // of the event index in Postgres
	Index      bool  `json:"index"`     // the event index was compared
	State      bool  `json:"state"`     // the global state was compared
	Postgres   bool  `json:"postgres"`
	DurationMS int64 `json:"durationMs"`
	// Gaps are missing events that nothing explains, at most a hundred. Violations name them too.
	Gaps []fold.Gap `json:"gaps"`
	// Notes say what could not be compared, and why.
	Notes []string `json:"notes"`
	// Violations are the first hundred. Total counts them all.
	Violations []string `json:"violations"`
	Total      int64    `json:"total"`
}

// OK reports whether there are no violations.
func (r Report) OK() bool { return r.Total == 0 }

func (r *Report) violation(format string, args ...any) {
	r.Total++
	if len(r.Violations) < maxViolations {
		r.Violations = append(r.Violations, fmt.Sprintf(format, args...))
	}
}

func (r *Report) note(format string, args ...any) {
	r.Notes = append(r.Notes, fmt.Sprintf(format, args...))
}

// WriteJSON writes the report as indented JSON.
func (r Report) WriteJSON(w io.Writer) error {
	text, err := jsontext.Marshal(r)
	if err != nil {
		return fmt.Errorf("write the report: %w", err)
	}
	var b bytes.Buffer
	if err := json.Indent(&b, text, "", "  "); err != nil {
		return fmt.Errorf("write the report: %w", err)
	}
	b.WriteByte('\n')
	if _, err := b.WriteTo(w); err != nil {
		return fmt.Errorf("write the report: %w", err)
	}
	return nil
}

// WriteTo writes the report for people.
func (r Report) WriteTo(w io.Writer) (int64, error) {
	var b strings.Builder
	for _, v := range r.Violations {
		fmt.Fprintf(&b, "✗ %s\n", v)
	}
	if more := r.Total - int64(len(r.Violations)); more > 0 {
		fmt.Fprintf(&b, "✗ and %d more\n", more)
	}
	for _, n := range r.Notes {
		fmt.Fprintf(&b, "· %s\n", n)
	}
	fmt.Fprintf(&b, "Read %s, seq %d to %d. Compared %s, %s, %s in %s",
		amount(r.Events, "event"), r.Base, r.Last.Seq, amount(r.Tasks, "task"), amount(r.Instances, "instance"),
		amount(r.Places, "place"), amount(r.Queues, "queue"))
	if r.Schedules > 0 {
		fmt.Fprintf(&b, ", %s", amount(r.Schedules, "schedule"))
	}
	if r.State {
		b.WriteString(", the global state")
	}
	if r.Postgres {
		fmt.Fprintf(&b, ", %s in Postgres", amount(r.Rows, "row"))
		if r.Sessions > 0 {
			fmt.Fprintf(&b, ", %s there", amount(r.Sessions, "session"))
		}
		if r.Index {
			fmt.Fprintf(&b, ", %s in the event index", amount(r.EventRows, "row"))
		}
	}
	fmt.Fprintf(&b, ", in %s.\n", (time.Duration(r.DurationMS) * time.Millisecond).Round(10*time.Millisecond))
	if r.OK() {
		b.WriteString("OK: the stored data equals the log.\n")
	} else {
		fmt.Fprintf(&b, "BROKEN: %s.\n", amount(r.Total, "violation"))
	}
	n, err := io.WriteString(w, terminal.Escape(b.String()))
	return int64(n), err
}

func amount(n int64, noun string) string {
	if n == 1 {
		return "1 " + noun
	}
	return fmt.Sprintf("%d %ss", n, noun)
}
