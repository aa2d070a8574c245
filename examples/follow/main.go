// Command follow is a small service on ClaudeBench's event log. It prints one line for each event,
// and after a restart continues where it stopped.
//
//	eval "$(go run ./cmd/claudebench env)"
//	go run ./examples/follow --types 'task.*' --name my-service
//
// It reads from the Redis at CB_REDIS_URL, which `env` prints for the Redis that `up` runs. While
// Redis is unavailable it waits. If the log was rolled back or has a gap, it prints the error and
// exits with status 1.
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
	redisURL := flags.String("redis-url", cmp.Or(os.Getenv("CB_REDIS_URL"), "redis://127.0.0.1:6379"), "URL of the coordinator's Redis [CB_REDIS_URL]")
	namespace := flags.String("namespace", "", "the coordinator's --namespace")
	types := flags.String("types", events.All, "event types and patterns, separated by commas")
	name := flags.String("name", "", "name of this service, under which its checkpoint is stored (required)")
	if err := flags.Parse(args); err != nil {
		return err
	}
	if *name == "" {
		return errors.New("--name is required: the checkpoint is stored under it")
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
	// Recoverer turns a panic of the handler into an error. After an error the event is delivered
	// again, after a while.
	router.AddMiddleware(middleware.Recoverer)
	router.AddConsumerHandler("print", *types, sub, func(m *message.Message) error { return show(out, m) })

	// The router closes the subscriber, which saves its checkpoint.
	if err := router.Run(ctx); err != nil {
		return fmt.Errorf("run the router: %w", err)
	}
	return sub.Err()
}

// show prints an event. Delivery is at least once, so it may be called twice for the same event.
// Here that prints a line twice; a service that writes to a database uses the event's ID to make
// the second write do nothing.
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
	// An event of a type or version newer than this program does not stop it: the payload is
	// printed as JSON.
	if err != nil && !errors.Is(err, events.ErrUnknownType) && !errors.Is(err, events.ErrUnknownVersion) {
		return err
	}
	if _, err := fmt.Fprintf(out, "%s %s %-21s %s\n", e.ID, e.Time().Format(time.TimeOnly), e.Type, what); err != nil {
		return fmt.Errorf("print event %s: %w", e.ID, err)
	}
	return nil
}
