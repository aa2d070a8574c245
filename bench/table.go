package main

import (
	"fmt"
	"io"
	"os"
	"os/exec"
	"runtime"
	"runtime/debug"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/claudebench/claudebench/internal/devstack"
)

// rate adds the line of a figure that compares two rates. Their ratio must reach mark.
func (b *bench) rate(name string, c compared, mark float64) {
	ratio := fmt.Sprintf("%.2f", c.ratio)
	if b.rounds > 1 {
		ratio += fmt.Sprintf(" (%.2f–%.2f)", c.least, c.most)
	}
	b.results = append(b.results, result{
		figure: name, ours: perSecond(c.ours), reference: perSecond(c.reference),
		ratio: ratio, mark: fmt.Sprintf("≥ %.4g", mark), reached: c.ratio >= mark,
	})
}

func perSecond(rate float64) string { return fmt.Sprintf("%.0f/s", rate) }

// span adds the line of a figure that is a duration, which must not exceed mark.
func (b *bench) span(name string, d, mark time.Duration) {
	b.results = append(b.results, result{
		figure: name, ours: d.Round(10 * time.Microsecond).String(), mark: "≤ " + mark.String(), reached: d <= mark,
	})
}

func (r result) verdict() string {
	verdict := "ok"
	if !r.reached {
		verdict = "MISSED"
	}
	what := r.ratio
	if what == "" {
		what = r.ours
	}
	return fmt.Sprintf("%s, must be %s: %s", what, r.mark, verdict)
}

// print writes the table and returns how many figures missed their target.
func (b *bench) print(out io.Writer) (missed int) {
	if load, err := os.ReadFile("/proc/loadavg"); err == nil {
		fmt.Fprintf(out, "\nload average at the end: %s (the measurement itself included)", strings.Join(strings.Fields(string(load))[:3], " "))
	}
	fmt.Fprintf(out, "\n%d cores, %s/%s, %s, %s; %d rounds of %s, medians; %s in all\n\n", runtime.NumCPU(), runtime.GOOS,
		runtime.GOARCH, runtime.Version(), versions(), b.rounds, b.duration, time.Since(b.began).Round(time.Second))
	w := tabwriter.NewWriter(out, 0, 0, 2, ' ', 0)
	fmt.Fprintln(w, "figure\tours\treference\tratio\tmust reach\t")
	for _, r := range b.results {
		verdict := "ok"
		if !r.reached {
			verdict = "MISSED"
			missed++
		}
		fmt.Fprintf(w, "%s\t%s\t%s\t%s\t%s\t%s\n", r.figure, r.ours, r.reference, r.ratio, r.mark, verdict)
	}
	_ = w.Flush()
	return missed
}

// versions returns the versions of the servers, of asynq and of River.
func versions() string {
	var parts []string
	if path, _, err := devstack.FindRedis(); err == nil {
		if out, err := exec.Command(path, "--version").Output(); err == nil {
			if fields := strings.Fields(string(out)); len(fields) > 2 {
				parts = append(parts, fields[0]+" "+strings.TrimPrefix(fields[2], "v="))
			}
		}
	}
	if dir, err := devstack.FindPostgres(); err == nil {
		if out, err := exec.Command(dir+"/postgres", "--version").Output(); err == nil {
			parts = append(parts, strings.TrimSpace(string(out)))
		}
	}
	if info, ok := debug.ReadBuildInfo(); ok {
		for _, dep := range info.Deps {
			switch dep.Path {
			case "github.com/hibiken/asynq":
				parts = append(parts, "asynq "+dep.Version)
			case "github.com/riverqueue/river":
				parts = append(parts, "River "+dep.Version)
			}
		}
	}
	return strings.Join(parts, ", ")
}

// ratio adds the line of a figure that compares two durations. Their ratio must not exceed mark.
func (b *bench) ratio(name string, ours, reference time.Duration, mark float64) {
	ratio := float64(ours) / float64(reference)
	b.results = append(b.results, result{
		figure: name, ours: ours.Round(time.Microsecond).String(), reference: reference.Round(time.Microsecond).String(),
		ratio: fmt.Sprintf("%.2f", ratio), mark: fmt.Sprintf("≤ %.4g", mark), reached: ratio <= mark,
	})
}
