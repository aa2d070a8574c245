package main

import (
	"fmt"
	"io"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/claudebench/claudebench/internal/terminal"
	"github.com/claudebench/claudebench/projections"
)

// rebuildProgress tells how far rebuilds are: on a terminal in a line that changes, elsewhere in a line
// for each step.
type rebuildProgress struct {
	out    io.Writer
	inLine bool // out is a terminal
	name   string
	drawn  bool // the line is there
	step   projections.RebuildStep
	from   int64     // the first event told of this step
	began  time.Time // of this step
	told   time.Time
}

const drawEvery = 250 * time.Millisecond

func newRebuildProgress(out io.Writer, name string) *rebuildProgress {
	return &rebuildProgress{out: out, inLine: terminal.Is(out), name: name}
}

// tell is called with the progress of a rebuild.
func (r *rebuildProgress) tell(p projections.RebuildProgress) {
	now := time.Now()
	if p.Step != r.step {
		r.step, r.from, r.began, r.told = p.Step, p.Seq, now, time.Time{}
		if !r.inLine {
			fmt.Fprintf(r.out, "%s: %s …\n", r.name, r.step)
		}
	}
	if !r.inLine || now.Sub(r.told) < drawEvery {
		return
	}
	r.told = now
	line := fmt.Sprintf("%s: %s …", r.name, r.step)
	if p.Seq > 0 && p.Of > 0 {
		line += fmt.Sprintf(" %d%%, event %d of %d", min(100*p.Seq/p.Of, 100), p.Seq, p.Of)
		if took := now.Sub(r.began); took > drawEvery && p.Seq > r.from {
			line += fmt.Sprintf(", %.0f/s", float64(p.Seq-r.from)/took.Seconds())
		}
	}
	fmt.Fprint(r.out, "\r\x1b[K"+line)
	r.drawn = true
}

// end removes the line.
func (r *rebuildProgress) end() {
	if r.drawn {
		fmt.Fprint(r.out, "\r\x1b[K")
		r.drawn = false
	}
}

// writeRebuilt prints what differed.
func writeRebuilt(out io.Writer, found *projections.Rebuilt) {
	if found.Uncompared != "" {
		fmt.Fprintf(out, "%s: not compared: %s\n", found.Name, found.Uncompared)
		return
	}
	if found.Same() {
		fmt.Fprintf(out, "%s: no differences at event %s\n", found.Name, found.At)
		return
	}
	for _, d := range found.Differences {
		fmt.Fprintf(out, "%s: %s differs from the log at event %s: %d missing, %d too many, %d changed\n",
			found.Name, d.Object, found.At, d.Missing, d.Extra, d.Changed)
		for _, x := range d.First {
			fmt.Fprintf(out, "  %s: %s; the log says %s\n", strings.TrimSpace(x.Key+" "+x.Column), shownValue(x.Live), shownValue(x.Rebuilt))
		}
		if d.Total() > projections.FirstDifferences {
			fmt.Fprintf(out, "  … only the first %d are shown\n", projections.FirstDifferences)
		}
	}
}

const mostShown = 100

// shownValue returns a value for a report.
func shownValue(value *string) string {
	if value == nil {
		return "nothing"
	}
	text := *value
	if len(text) <= mostShown {
		return fmt.Sprintf("%q", text)
	}
	cut := mostShown
	for !utf8.RuneStart(text[cut]) {
		cut--
	}
	return fmt.Sprintf("%q… (%d bytes)", text[:cut], len(text))
}

// outcome says in a few words what a rebuild did.
func outcome(found *projections.Rebuilt, dry bool) string {
	switch {
	case found.Replaced:
		return "the live view was replaced"
	case dry && !found.Same():
		return "the live view is unchanged"
	}
	return "the live view was right"
}
