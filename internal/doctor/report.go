package doctor

import (
	"fmt"
	"io"
	"slices"
	"strings"

	"github.com/claudebench/claudebench/internal/terminal"
)

// Report is what all checks have found.
type Report struct {
	// Level is the worst of the findings: OK, Warn or Fail. Unknown counts as Warn.
	Level    Level     `json:"level"`
	Findings []Finding `json:"findings"`
}

// rank orders the levels, the worst last.
var rank = []Level{Skipped, OK, Unknown, Warn, Fail}

func worst(list []Finding) Level {
	level := OK
	for _, f := range list {
		if slices.Index(rank, f.Level) > slices.Index(rank, level) {
			level = f.Level
		}
	}
	if level == Unknown {
		return Warn
	}
	return level
}

// count returns the number of findings of a level.
func (r *Report) count(level Level) int {
	n := 0
	for _, f := range r.Findings {
		if f.Level == level {
			n++
		}
	}
	return n
}

// WriteText writes the report for people. Names that others chose are escaped.
func (r *Report) WriteText(w io.Writer) error {
	width := 0
	for _, f := range r.Findings {
		width = max(width, len(f.Check))
	}
	var b strings.Builder
	for _, f := range r.Findings {
		fmt.Fprintf(&b, "%-7s  %-*s  %s\n", f.Level, width, f.Check, terminal.Escape(f.Text))
		if f.Do != "" {
			fmt.Fprintf(&b, "%-7s  %-*s  → %s\n", "", width, "", terminal.Escape(f.Do))
		}
	}
	parts := []string{}
	for _, level := range []Level{Fail, Warn, Unknown, OK, Skipped} {
		if n := r.count(level); n > 0 {
			parts = append(parts, fmt.Sprintf("%d %s", n, level))
		}
	}
	fmt.Fprintf(&b, "\n%s\n", strings.Join(parts, ", "))
	_, err := io.WriteString(w, b.String())
	if err != nil {
		return fmt.Errorf("write the report: %w", err)
	}
	return nil
}
