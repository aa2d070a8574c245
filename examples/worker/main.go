// Command worker is a minimal agent: it claims tasks, does them, and reports the results. Its work is
// to count the words of a task's text.
//
//	go run ./examples/worker --id worker-1
//
// It may be killed at any moment: its tasks then go to other workers when its registration expires.
// Package client does the rest: heartbeats, claims that wait, retries that repeat nothing, and the
// end of a task's context when the task has gone to another worker. If the coordinator requires a
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
		err = client.NewWorker(c, o).Run(ctx, func(ctx context.Context, t *client.Task) (any, error) {
			select {
			case <-time.After(*atLeast):
			case <-ctx.Done():
				return nil, ctx.Err() // the task has gone to another worker, or goes back to the queue
			}
			words := len(strings.Fields(t.Text))
			fmt.Printf("%s: %d words\n", t.ID, words)
			return map[string]int{"words": words}, nil
		})
	}
	if err != nil {
		logger.Error("the worker has ended", "error", err)
		os.Exit(1)
	}
}
