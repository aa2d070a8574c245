// Command follow is a small service on ClaudeBench's event log. It prints one line for each event,
// and after a restart continues where it stopped.
//
//	go run ./examples/follow --types 'task.*' --name my-service
//
// It needs the coordinator's address and a token, and no Redis. Its checkpoint is a file in --dir.
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

	"github.com/ThreeDotsLabs/watermill"
	"github.com/ThreeDotsLabs/watermill/message"
	"github.com/ThreeDotsLabs/watermill/message/router/middleware"

	"github.com/claudebench/claudebench/events"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	err := run(ctx, os.Args[1:], os.Stdout, os.Stderr)
	stop()
	if err != nil && !errors.Is(err, flag.ErrHelp) {
		fmt.Fprintln(os.Stderr, "follow:", err)
		os.Exit(1)
	}
}

// run follows the log until ctx ends. If the log was rolled back or has a gap, it returns an error.
func run(ctx context.Context, args []string, out, logs io.Writer) error {
	flags := flag.NewFlagSet("follow", flag.ContinueOnError)
	flags.SetOutput(logs)
	url := flags.String("url", cmp.Or(os.Getenv("CB_URL"), "http://127.0.0.1:3000"), "URL of the coordinator [CB_URL]; the token is in CB_TOKEN")
	types := flags.String("types", events.All, "event types and patterns, separated by commas")
	name := flags.String("name", "follow", "name of this service, under which its checkpoint is stored")
	dir := flags.String("dir", ".", "folder for the checkpoint")
	if err := flags.Parse(args); err != nil {
		return err
	}
	logger := slog.New(slog.NewTextHandler(logs, &slog.HandlerOptions{Level: slog.LevelWarn}))
	sub, err := events.NewHTTPSubscriber(*url, os.Getenv("CB_TOKEN"), events.HTTPSubscriberConfig{SubscriberConfig: events.SubscriberConfig{
		ReaderConfig: events.ReaderConfig{Logger: logger}, Name: *name, Checkpoints: events.FileCheckpoints{Dir: *dir},
	}})
	if err != nil {
		return err
	}
	router, err := message.NewRouter(message.RouterConfig{}, watermill.NewSlogLogger(logger))
	if err != nil {
		return err
	}
	router.AddMiddleware(middleware.Recoverer) // after a panic or an error, the event is delivered again
	router.AddConsumerHandler("print", *types, sub, func(m *message.Message) error { return show(out, m) })
	return errors.Join(router.Run(ctx), sub.Err()) // the router closes the subscriber, which saves its checkpoint
}

// show prints an event. Delivery is at least once: a service that writes to a database uses the
// event's ID to make the second write of the same event do nothing.
func show(out io.Writer, m *message.Message) error {
	e, err := events.Decode(m.Payload)
	if err != nil {
		return err
	}
	what := string(e.Payload) // also of types and versions newer than this program
	if p, err := events.PayloadAs[events.TaskCompleted](e); err == nil && e.Type == events.TypeTaskCompleted {
		what = fmt.Sprintf("%s by %s in %d ms: %s", p.ID, p.WorkerID, p.Duration, p.Result)
	}
	_, err = fmt.Fprintf(out, "%s %-21s %s\n", e.ID, e.Type, what)
	return err
}
