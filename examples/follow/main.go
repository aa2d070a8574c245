// Command follow is a small service on ClaudeBench's event log: it prints what
// happens, one line an event, and after a restart goes on where it stopped.
//
//	eval "$(go run ./cmd/claudebench env)"
//	go run ./examples/follow --types 'task.*' --name my-service
//
// It reads the Redis of CB_REDIS_URL, which `env` gives for what `up` runs.
// While Redis is away it waits. When the log was rolled back, or has a gap, it
// says so and exits with status 1.
package main

import (
	"cmp"
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"log/slog"
	"os"
	"os/signal"
	"syscall"
	"time"

	"github.com/ThreeDotsLabs/watermill"
	"github.com/ThreeDotsLabs/watermill/message"
	"github.com/ThreeDotsLabs/watermill/message/router/middleware"
	"github.com/redis/go-redis/v9"

	"github.com/claudebench/claudebench/events"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	err := run(ctx, os.Args[1:], os.Stdout, os.Stderr)
	stop()
	if errors.Is(err, flag.ErrHelp) {
		os.Exit(2)
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "follow:", err)
		os.Exit(1)
	}
}

// run follows the log until ctx ends.
func run(ctx context.Context, args []string, out, logs io.Writer) (err error) {
	flags := flag.NewFlagSet("follow", flag.ContinueOnError)
	flags.SetOutput(logs)
	redisURL := flags.String("redis-url", cmp.Or(os.Getenv("CB_REDIS_URL"), "redis://127.0.0.1:6379"), "the Redis of the coordinator")
	namespace := flags.String("namespace", "", "the coordinator's --namespace")
	types := flags.String("types", events.All, "event types and patterns, separated by commas")
	name := flags.String("name", "", "this service's name: its checkpoint is kept under it (required)")
	if err := flags.Parse(args); err != nil {
		return err
	}
	if *name == "" {
		return errors.New("--name is required: without one nobody knows where to go on")
	}
	if _, err := events.ParseFilter(*types); err != nil {
		return fmt.Errorf("--types: %w", err)
	}
	options, err := redis.ParseURL(*redisURL)
	if err != nil {
		return fmt.Errorf("--redis-url: %w", err)
	}
	client := redis.NewClient(options)
	defer func() { err = errors.Join(err, client.Close()) }()
	logger := slog.New(slog.NewTextHandler(logs, &slog.HandlerOptions{Level: slog.LevelWarn}))

	sub, err := events.NewSubscriber(client, events.SubscriberConfig{
		ReaderConfig: events.ReaderConfig{Namespace: *namespace, Logger: logger},
		Name:         *name,
	})
	if err != nil {
		return err
	}
	router, err := message.NewRouter(message.RouterConfig{CloseTimeout: 10 * time.Second}, watermill.NewSlogLogger(logger))
	if err != nil {
		return fmt.Errorf("set up the router: %w", err)
	}
	// A handler that panics becomes an error, and an error a nack: the event
	// comes again, after a while.
	router.AddMiddleware(middleware.Recoverer)
	router.AddConsumerHandler("print", *types, sub, func(m *message.Message) error { return show(out, m) })

	// The router closes the subscriber, which saves its checkpoint.
	if err := router.Run(ctx); err != nil {
		return fmt.Errorf("run the router: %w", err)
	}
	return sub.Err()
}

// show prints an event. It may be called twice for the same one: delivery is at
// least once. Here that prints a line twice; a service that writes to a database
// makes its write such that the second does nothing, with the event's ID.
func show(out io.Writer, m *message.Message) error {
	e, err := events.Decode(m.Payload)
	if err != nil {
		return err
	}
	what := string(e.Payload)
	payload, err := e.Decoded()
	switch p := payload.(type) {
	case *events.TaskCreated:
		what = fmt.Sprintf("%s %q, priority %d", p.ID, p.Text, p.Priority)
	case *events.TaskClaimed:
		what = fmt.Sprintf("%s by %s, attempt %d, after %d ms", p.TaskID, p.WorkerID, p.Attempt, p.Waited)
	case *events.TaskCompleted:
		what = fmt.Sprintf("%s by %s in %d ms: %s", p.ID, p.WorkerID, p.Duration, p.Result)
	case *events.TaskFailed:
		what = fmt.Sprintf("%s by %s in %d ms: %s", p.ID, p.WorkerID, p.Duration, p.Error)
	}
	// A type or version newer than this program is no reason to stop: its
	// payload is printed as it is.
	if err != nil && !errors.Is(err, events.ErrUnknownType) && !errors.Is(err, events.ErrUnknownVersion) {
		return err
	}
	if _, err := fmt.Fprintf(out, "%s %s %-21s %s\n", e.ID, e.Time().Format(time.TimeOnly), e.Type, what); err != nil {
		return fmt.Errorf("print event %s: %w", e.ID, err)
	}
	return nil
}
