// Command bench measures the coordinator on a private Redis and a private Postgres, and prints a
// table of the figures with their targets. `make bench` runs it; README.md explains each figure.
//
// A fault of any kind, such as a failed call or a server that exits, stops it with exit code 1,
// because a figure counts only if all work was done. A missed target is not a fault, and
// neither is a missing program, unless --strict is set.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"slices"
	"strings"
	"syscall"
	"time"
)

func main() {
	var err error
	if role := os.Getenv(roleVariable); role != "" {
		err = coordinate(role, os.Args[1:])
	} else {
		err = run()
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "bench:", err)
		os.Exit(1)
	}
}

// bench is one run.
type bench struct {
	*site
	duration time.Duration // of one measurement
	rounds   int
	began    time.Time
	results  []result
	costs    []cost
}

// result is a line of the table.
type result struct {
	figure          string
	ours, reference string
	ratio           string
	mark            string // the target; "" if there is none
	reached         bool
	missing         string // a program without which it was not measured
}

// figure is a measurement, which may add several lines to the table.
type figure struct {
	name    string // for --only
	about   string
	measure func(*bench, context.Context) error
	needs   []string // servers; nil if measure itself reports what is missing
}

func figures() []figure {
	redis, both := []string{"redis-server"}, []string{"redis-server", "postgres"}
	return []figure{
		{"single", "single task.create calls over HTTP", (*bench).singles, both},
		{"batch", "task.create in batches of 100", (*bench).batches, both},
		{"script", "the bare script against a minimal one", (*bench).script, redis},
		{"asynq", "create, claim and complete against asynq", (*bench).asynq, both},
		{"bulk", "create, claim and complete in bulk against River, BullMQ and asynq", (*bench).bulk, nil},
		{"size", "the time of a call in a large fleet against a small one", (*bench).size, both},
		{"rebuild", "rebuild of the Postgres tasks", (*bench).rebuild, both},
		{"lag", "lag of the task view after 30 s of batches", (*bench).lag, both},
		{"work", "claudebench work against xargs", (*bench).work, both},
		{"waits", "claims that wait for a task", (*bench).waits, both},
		{"hooks", "hooks of agents at 100/s", (*bench).hooks, both},
		{"streams", "who follows the log, in Go and over HTTP", (*bench).streams, both},
		{"death", "an instance with 10,000 tasks dies", (*bench).death, both},
		{"time", "work over time: scheduled tasks, dependents, cancelling", (*bench).later, both},
	}
}

func run() error {
	all := figures()
	names := make([]string, len(all))
	for i, f := range all {
		names[i] = f.name
	}
	only := flag.String("only", "", "figures to measure, with ',' between: "+strings.Join(names, ", "))
	seconds := flag.Float64("seconds", 3, "how long one measurement takes")
	rounds := flag.Int("rounds", 3, "how often each measurement is taken; the median counts")
	profiles := flag.String("profile", "", "folder for CPU profiles of the coordinators")
	strict := flag.Bool("strict", false, "exit with 1 when a figure is missed or not run")
	flag.Parse()
	if flag.NArg() > 0 || *seconds <= 0 || *rounds < 1 {
		return errors.New("wrong arguments: see --help")
	}
	if *only != "" {
		for name := range strings.SplitSeq(*only, ",") {
			if !slices.Contains(names, name) {
				return fmt.Errorf("there is no figure %q: there are %s", name, strings.Join(names, ", "))
			}
		}
		all = slices.DeleteFunc(all, func(f figure) bool { return !slices.Contains(strings.Split(*only, ","), f.name) })
	}
	if *profiles != "" {
		if err := os.MkdirAll(*profiles, 0o750); err != nil {
			return fmt.Errorf("make the folder for profiles: %w", err)
		}
	}
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()

	b := &bench{duration: time.Duration(*seconds * float64(time.Second)), rounds: *rounds, began: time.Now()}
	err := b.all(ctx, all, *profiles)
	if ctx.Err() != nil {
		return errors.New("interrupted")
	}
	if err != nil {
		return err
	}
	missed, notRun := b.print(os.Stdout)
	if missed+notRun > 0 && *strict {
		return fmt.Errorf("%d figures missed, %d not run", missed, notRun)
	}
	return nil
}

func (b *bench) all(ctx context.Context, figures []figure, profiles string) (err error) {
	b.say("building claudebench, starting Postgres")
	b.site, err = newSite(ctx, profiles)
	defer func() { err = errors.Join(err, b.site.close()) }()
	if err != nil {
		return err
	}
	for i, f := range figures {
		b.say("%d/%d %s: %s", i+1, len(figures), f.name, f.about)
		if program := b.lacks(f.needs...); program != "" {
			b.notRun(f.name+": "+f.about, program, 0)
			b.say("  not run: %s is missing", program)
			continue
		}
		results, costs := len(b.results), len(b.costs)
		if err := f.measure(b, ctx); err != nil {
			return fmt.Errorf("%s: %w", f.name, err)
		}
		for _, r := range b.results[results:] {
			b.say("  %s: %s", r.figure, r.progress())
		}
		for _, c := range b.costs[costs:] {
			b.say("  core ms per 1,000 lives, %s: %s", c.system, c.progress())
		}
	}
	return nil
}

// say reports progress on stderr.
func (b *bench) say(format string, args ...any) {
	fmt.Fprintf(os.Stderr, "%4.0fs  %s\n", time.Since(b.began).Seconds(), fmt.Sprintf(format, args...))
}

// with runs a measurement on its own Redis.
func (b *bench) with(ctx context.Context, name string, measure func(*stack) error) (err error) {
	st, err := b.newStack(ctx, name)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, st.close()) }()
	return measure(st)
}
