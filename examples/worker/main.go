// Command worker is a minimal agent: it claims tasks, does them, and reports the results. Its work is
// to count the words of a task's text.
//
//	go run ./examples/worker --id worker-1
//
// It may be killed at any moment: its tasks then go to other workers when its registration expires.
// While a task takes time, the worker says once a second how far it is, and `claudebench call
// task.cancel` ends it. Package client does the rest: heartbeats, claims that wait, retries that repeat
// nothing, and the end of a task's context when the task was called off or has gone to another worker. If the coordinator requires a
// token, set CB_TOKEN.
package main

import (
	"cmp"
	"context"
	"flag"
	"fmt"
	"log/slog"
	"os"
	"os/signal"
	"strings"
	"syscall"
	"time"

	"github.com/claudebench/claudebench/client"
)

func main() {
	logger := slog.New(slog.NewTextHandler(os.Stderr, nil))
	o := client.WorkerOptions{Logger: logger}
	flag.StringVar(&o.ID, "id", "worker-1", "id of this worker")
	flag.IntVar(&o.Concurrency, "concurrency", 1, "tasks at a time")
	flag.DurationVar(&o.TTL, "ttl", 30*time.Second, "time without a sign of life after which the worker is dead")
	url := flag.String("url", cmp.Or(os.Getenv("CB_URL"), "http://127.0.0.1:3000"), "URL of the coordinator [CB_URL]")
	atLeast := flag.Duration("work", 0, "minimum time for each task")
	flag.Parse()

	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	c, err := client.New(*url, os.Getenv("CB_TOKEN"))
	if err == nil {
		err = client.NewWorker(c, o).Run(ctx, count(*atLeast))
	}
	if err != nil {
		logger.Error("the worker has ended", "error", err)
		os.Exit(1)
	}
}

// count returns a handler that counts the words of a task's text, and takes at least as long as it is
// told.
func count(atLeast time.Duration) client.Handler {
	return func(ctx context.Context, t *client.Task) (any, error) {
		if err := pretend(ctx, atLeast); err != nil {
			return nil, err
		}
		words := len(strings.Fields(t.Text))
		fmt.Printf("%s: %d words\n", t.ID, words)
		return map[string]int{"words": words}, nil
	}
}

// pretend works for some time, and says once a second how far it is. It ends early, with the reason, if
// the task was called off, has gone to another worker, or goes back to the queue.
func pretend(ctx context.Context, atLeast time.Duration) error {
	for began := time.Now(); time.Since(began) < atLeast; {
		select {
		case <-time.After(min(time.Second, atLeast-time.Since(began))):
		case <-ctx.Done():
			return context.Cause(ctx)
		}
		percent := min(100, 100*float64(time.Since(began))/float64(atLeast))
		if err := client.Progress(ctx, client.ProgressParams{Percent: &percent}); err != nil {
			return err
		}
	}
	return nil
}
