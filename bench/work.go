package main

import (
	"context"
	"fmt"
	"os/exec"
	"strconv"
	"strings"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/claudebench/claudebench/internal/keys"
)

const (
	// workTasks is how many commands each side of work starts.
	workTasks = 4_000
	// workConcurrency is how many run at a time.
	workConcurrency = 16
)

// work compares `claudebench work -- true` with xargs.
func (b *bench) work(ctx context.Context) error {
	const name, mark = "claudebench work -- true / xargs -P16, commands", 0.5
	for _, program := range []string{"xargs", "true"} {
		if b.lacks(program) != "" {
			b.notRun(name, program, mark)
			return nil
		}
	}
	return b.with(ctx, "work", func(st *stack) error {
		const namespace = "work"
		p, err := st.serve(ctx, coordinator{namespace: namespace})
		if err != nil {
			return err
		}
		space, err := keys.New(namespace)
		if err != nil {
			return err
		}
		rows, err := b.alternate(ctx, st, p.settled,
			side{"claudebench work", func(ctx context.Context, t *turn, d time.Duration) error {
				return workCommands(ctx, t, p, space, commandsOf(d))
			}},
			side{"xargs", func(ctx context.Context, t *turn, d time.Duration) error { return xargsCommands(ctx, t, commandsOf(d)) }})
		if err != nil {
			return err
		}
		b.rate(name, compare(rows, 0, 1), mark)
		return nil
	})
}

// commandsOf makes the warm-up short.
func commandsOf(d time.Duration) int {
	if d == warmUp {
		return workTasks / 10
	}
	return workTasks
}

// workCommands creates n tasks, and does them with one worker. The turn has the worker's start and
// end, but not the creation of the tasks.
func workCommands(ctx context.Context, t *turn, p *program, space keys.Space, n int) error {
	if err := createTasks(ctx, t.st, "work", n); err != nil {
		return err
	}
	before, err := completedTasks(ctx, t.st, space)
	if err != nil {
		return err
	}
	worker := exec.CommandContext(ctx, t.st.binary, "work", "--url", "http://"+p.addr, "--concurrency", strconv.Itoa(workConcurrency),
		"--until-empty", "--", "true")
	if err := timed(t, worker, n); err != nil {
		return err
	}
	after, err := completedTasks(ctx, t.st, space)
	if err == nil && after-before != int64(n) {
		err = fmt.Errorf("%d tasks of %d are completed", after-before, n)
	}
	return err
}

// completedTasks returns how many events were ever added to the topic of completed tasks, which
// keeps only the last ones.
func completedTasks(ctx context.Context, st *stack, space keys.Space) (int64, error) {
	topic, err := st.client.XInfoStream(ctx, space.Topic("task.completed")).Result()
	switch {
	case redis.HasErrorPrefix(err, "no such key"):
		return 0, nil
	case err != nil:
		return 0, fmt.Errorf("count the completed tasks: %w", err)
	}
	return topic.EntriesAdded, nil
}

// xargsCommands starts n commands.
func xargsCommands(ctx context.Context, t *turn, n int) error {
	xargs := exec.CommandContext(ctx, "xargs", "-P"+strconv.Itoa(workConcurrency), "-n1", "true")
	xargs.Stdin = strings.NewReader(strings.Repeat("x\n", n))
	return timed(t, xargs, n)
}

// timed runs a program that starts n commands.
func timed(t *turn, program *exec.Cmd, n int) error {
	t.start()
	out, err := program.CombinedOutput()
	if state := program.ProcessState; state != nil { // its children included
		t.st.ended[kindGenerator] += state.UserTime() + state.SystemTime()
	}
	t.stop(n)
	if err != nil {
		return fmt.Errorf("%s: %w\n%s", program, err, out)
	}
	return nil
}
