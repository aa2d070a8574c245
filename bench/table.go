package main

import (
	"encoding/json"
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

// rate adds the line of a figure that compares two rates. Their ratio must reach mark, unless mark
// is 0.
func (b *bench) rate(name string, c compared, mark float64) {
	ratio := fmt.Sprintf("%.2f", c.ratio)
	if b.rounds > 1 {
		ratio += fmt.Sprintf(" (%.2f–%.2f)", c.least, c.most)
	}
	b.results = append(b.results, result{
		figure: name, ours: perSecond(c.ours), reference: perSecond(c.reference),
		ratio: ratio, mark: atLeast(mark), reached: c.ratio >= mark,
	})
}

// notRun adds the line of a figure that was not measured because a program is missing.
func (b *bench) notRun(name, program string, mark float64) {
	b.results = append(b.results, result{figure: name, mark: atLeast(mark), missing: program})
}

// atLeast is a lower limit as a text; "" for 0.
func atLeast(mark float64) string {
	if mark == 0 {
		return ""
	}
	return fmt.Sprintf("≥ %.4g", mark)
}

func perSecond(rate float64) string { return fmt.Sprintf("%.0f/s", rate) }

// span adds the line of a figure that is a duration, which must not exceed mark.
func (b *bench) span(name string, d, mark time.Duration) {
	b.results = append(b.results, result{
		figure: name, ours: d.Round(10 * time.Microsecond).String(), mark: "≤ " + mark.String(), reached: d <= mark,
	})
}

// verdict is the last column of a line.
func verdict(mark string, reached bool, missing string) string {
	switch {
	case missing != "":
		return "not run: " + missing + " is missing"
	case mark == "":
		return ""
	case !reached:
		return "MISSED"
	}
	return "ok"
}

func (r result) verdict() string { return verdict(r.mark, r.reached, r.missing) }

// progress is the text of a line for progress on stderr.
func (r result) progress() string {
	what := r.ratio
	if what == "" {
		what = r.ours
	}
	return progress(what, r.mark, r.verdict())
}

func progress(what, mark, verdict string) string {
	if what == "" {
		return verdict
	}
	if mark == "" {
		return what
	}
	return fmt.Sprintf("%s, must be %s: %s", what, mark, verdict)
}

// cost is how much CPU time a life takes in a system: a line of the second table.
type cost struct {
	system                                      string
	rate                                        float64       // lives a second
	total, redis, coordinator, postgres, client float64       // milliseconds per 1,000 lives
	mark                                        time.Duration // of CPU time for a life; 0 if there is none
	missing                                     string
}

// costOf returns the medians of a column. Each is a median of its own, so total may differ from the
// sum.
func costOf(system string, rows [][]*turn, column int) cost {
	middle := func(of func(t *turn) float64) float64 {
		var values []float64
		for _, row := range rows {
			values = append(values, of(row[column]))
		}
		return median(values)
	}
	spent := func(kinds ...string) float64 {
		return middle(func(t *turn) float64 {
			var sum time.Duration
			for _, kind := range kinds {
				sum += t.used[kind]
			}
			return float64(sum.Microseconds()) / float64(t.done)
		})
	}
	c := cost{
		system: system, rate: middle((*turn).rate),
		total: spent(kindRedis, kindCoordinator, kindPostgres, kindNode, kindGenerator),
		redis: spent(kindRedis), coordinator: spent(kindCoordinator), postgres: spent(kindPostgres),
		client: spent(kindNode, kindGenerator),
	}
	if c.total == 0 {
		c.missing = "/proc"
	}
	return c
}

// limit is the target as a text.
func (c cost) limit() string {
	if c.mark == 0 {
		return ""
	}
	return fmt.Sprintf("≤ %d", c.mark.Microseconds()) // µs for a life are ms for 1,000
}

func (c cost) verdict() string {
	return verdict(c.limit(), c.total <= float64(c.mark.Microseconds()), c.missing)
}

func (c cost) progress() string {
	if c.missing != "" {
		return c.verdict()
	}
	return progress(fmt.Sprintf("%.0f", c.total), c.limit(), c.verdict())
}

// print writes the tables and returns how many figures missed their target, and how many were not
// measured.
func (b *bench) print(out io.Writer) (missed, notRun int) {
	if load, err := os.ReadFile("/proc/loadavg"); err == nil {
		fmt.Fprintf(out, "\nload average at the end: %s (the measurement itself included)", strings.Join(strings.Fields(string(load))[:3], " "))
	}
	fmt.Fprintf(out, "\n%d cores, %s/%s, %s, %s; %d rounds of %s, medians; %s in all\n\n", runtime.NumCPU(), runtime.GOOS,
		runtime.GOARCH, runtime.Version(), versions(), b.rounds, b.duration, time.Since(b.began).Round(time.Second))
	count := func(missing, verdict string) {
		if missing != "" {
			notRun++
		} else if verdict == "MISSED" {
			missed++
		}
	}
	w := tabwriter.NewWriter(out, 0, 0, 2, ' ', 0)
	fmt.Fprintln(w, "figure\tours\treference\tratio\tmust reach\t")
	for _, r := range b.results {
		count(r.missing, r.verdict())
		fmt.Fprintf(w, "%s\t%s\t%s\t%s\t%s\t%s\n", r.figure, r.ours, r.reference, r.ratio, r.mark, r.verdict())
	}
	_ = w.Flush()
	if len(b.costs) == 0 {
		return missed, notRun
	}
	fmt.Fprintln(out, "\nCPU time of all processes, in ms per 1,000 lives")
	fmt.Fprintln(w, "system\tlives\ttotal\tredis\tcoordinator\tpostgres\tclient\tmust reach\t")
	for _, c := range b.costs {
		count(c.missing, c.verdict())
		if c.missing != "" {
			rate := ""
			if c.rate > 0 {
				rate = perSecond(c.rate)
			}
			fmt.Fprintf(w, "%s\t%s\t\t\t\t\t\t%s\t%s\n", c.system, rate, c.limit(), c.verdict())
			continue
		}
		fmt.Fprintf(w, "%s\t%s\t%.0f\t%.0f\t%.0f\t%.0f\t%.0f\t%s\t%s\n", c.system, perSecond(c.rate),
			c.total, c.redis, c.coordinator, c.postgres, c.client, c.limit(), c.verdict())
	}
	_ = w.Flush()
	return missed, notRun
}

// versions returns the versions of the servers and of the peers.
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
	var packages struct{ Dependencies map[string]string }
	if text, err := bullmqFiles.ReadFile("bullmq/package.json"); err == nil && json.Unmarshal(text, &packages) == nil {
		parts = append(parts, "BullMQ "+packages.Dependencies["bullmq"])
	}
	if out, err := exec.Command("node", "--version").Output(); err == nil {
		parts = append(parts, "Node "+strings.TrimSpace(string(out)))
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
