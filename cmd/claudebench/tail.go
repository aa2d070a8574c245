package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/claudebench/claudebench/events"
	"github.com/claudebench/claudebench/internal/config"
	"github.com/claudebench/claudebench/internal/terminal"
)

func newTail() *cobra.Command {
	cfg := &config.Config{}
	from := &target{}
	var selected events.HTTPReaderConfig
	var after string
	var asJSON bool
	cmd := &cobra.Command{
		Use:   "tail",
		Short: "Watch the events as they happen",
		Long: `Print events as they happen, one a line, until Ctrl-C. Tail resumes after an outage and after
a flush.

It follows a coordinator's stream at /events, with the token in the environment variable
CB_TOKEN if there is one. With --redis-url, or with CB_REDIS_URL and neither --url nor CB_URL,
it reads the log from Redis instead. With --data-dir, it follows the coordinator that
'claudebench up' runs in that folder.`,
		Example: `  claudebench tail
  claudebench tail --types 'task.*,instance.failed'
  claudebench tail --url https://cb.example --task t-42
  claudebench tail --after 0 --json`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if err := checkTypes(selected.Types); err != nil {
				return usageError(err)
			}
			t := &tail{logger: newLogger(cfg), out: cmd.OutOrStdout(), json: asJSON}
			var err error
			if t.filter, err = events.ParseFilter(selected.Types); err != nil {
				return usageError(err)
			}
			at, err := parseAfter(after)
			if err != nil {
				return usageError(err)
			}
			flags := cmd.Flags()
			if flags.Changed("redis-url") || cfg.RedisURL != "" && from.url == "" && !flags.Changed("data-dir") {
				if selected.Task != "" || selected.Instance != "" {
					return usageError(errors.New("--task and --instance need a coordinator; leave out --redis-url, or pass --url"))
				}
				return explain(t.fromRedis(cmd.Context(), cfg, at), cfg.RedisURL)
			}
			if flags.Changed("namespace") {
				return usageError(errors.New("--namespace needs --redis-url; a coordinator has the namespace that it was started with"))
			}
			if flags.Changed("data-dir") {
				running, err := runningIn(cfg.DataDir)
				if err != nil {
					return err
				}
				from.url = running.Address
			}
			return t.fromCoordinator(cmd.Context(), from, selected, at)
		},
	}
	t := cmd.Flags()
	t.StringVar(&selected.Types, "types", events.All, "event types to print, such as task.*,instance.failed")
	t.StringVar(&selected.Task, "task", "", "only events that concern the task with this ID")
	t.StringVar(&selected.Instance, "instance", "", "only events that concern the instance with this ID")
	t.StringVar(&after, "after", "", "the event ID to start after; 0 starts at the beginning of the log (default: new events only)")
	t.BoolVar(&asJSON, "json", false, "print each event's envelope as JSON")
	from.bind(cmd)
	cfg.BindRedis(t)
	cfg.BindDataDir(t)
	cmd.MarkFlagsMutuallyExclusive("url", "redis-url", "data-dir")
	cfg.BindLog(t)
	return cmd
}

// tail prints the log as it grows.
type tail struct {
	log    eventLog
	logger *slog.Logger
	out    io.Writer
	filter events.Filter
	json   bool
}

// eventLog is the log in Redis, or a coordinator's stream of it.
type eventLog interface {
	events.BatchReader
	Last(ctx context.Context) (events.ID, error)
}

// fromRedis prints the log in Redis.
func (t *tail) fromRedis(ctx context.Context, cfg *config.Config, after *events.ID) error {
	client, space, err := openStores(ctx, cfg)
	if err != nil {
		return err
	}
	defer func() { _ = client.Close() }()
	if t.log, err = events.NewReader(client, events.ReaderConfig{Namespace: cfg.Namespace, Logger: t.logger}); err != nil {
		return usageError(err)
	}
	if err := logExists(ctx, client, space); err != nil {
		return err
	}
	return t.run(ctx, after)
}

// fromCoordinator prints a coordinator's stream.
func (t *tail) fromCoordinator(ctx context.Context, from *target, selected events.HTTPReaderConfig, after *events.ID) error {
	c, err := from.dial()
	if err != nil {
		return err
	}
	defer c.Close()
	selected.Client = c // which adds the token
	reader, err := events.NewHTTPReader(from.baseURL(), "", selected)
	if err != nil {
		return usageError(err)
	}
	defer reader.Close()
	t.log = reader
	err = t.run(ctx, after)
	var refused *events.StatusError
	if errors.As(err, &refused) && !slices.Contains([]int{http.StatusBadRequest, http.StatusUnauthorized, http.StatusForbidden}, refused.Status) {
		return unavailableError(err)
	}
	return from.explained(err)
}

// run prints events until ctx ends. It returns an error if the log cannot be read at first, if the
// coordinator refuses, or if the log is broken.
func (t *tail) run(ctx context.Context, after *events.ID) error {
	at, err := t.start(ctx, after)
	if ctx.Err() != nil {
		return nil //nolint:nilerr // Ctrl-C ends it normally
	}
	if err != nil {
		return err
	}
	read, away := after == nil, false
	for {
		batch, err := t.log.Read(ctx, at)
		var refused *events.StatusError
		switch {
		case ctx.Err() != nil:
			return nil //nolint:nilerr // Ctrl-C ends it normally
		case events.IsBroken(err):
			return t.broken(err)
		case err != nil && (!read || errors.As(err, &refused) && refused.Permanent()):
			return err
		case err != nil:
			if !away {
				t.logger.Warn("cannot read the log; retrying", "error", err)
			}
			away = true
			if !pause(ctx, 500*time.Millisecond) {
				return nil
			}
			continue
		case away:
			t.logger.Info("the log can be read again")
			away = false
		}
		read = true
		if batch.Skipped > 0 {
			t.logger.Info("the log was flushed or trimmed", "events_gone", batch.Skipped)
		}
		for _, entry := range batch.Entries {
			if err := t.print(entry); err != nil {
				return err
			}
		}
		at = batch.Last()
	}
}

// start returns the ID to start after.
func (t *tail) start(ctx context.Context, after *events.ID) (events.ID, error) {
	if after != nil {
		return *after, nil
	}
	last, err := t.log.Last(ctx)
	if err != nil {
		return last, fmt.Errorf("find the log's end: %w", err)
	}
	return last, nil
}

// parseAfter parses the value of --after. It returns nil for the log's end.
func parseAfter(text string) (*events.ID, error) {
	switch text {
	case "":
		return nil, nil
	case "0":
		return &events.ID{}, nil
	}
	id, err := events.ParseID(text)
	if err != nil {
		return nil, fmt.Errorf("--after: %w", err)
	}
	return &id, nil
}

// broken returns an error that says what to do about a log that has changed since it was read.
func (t *tail) broken(err error) error {
	var back *events.RolledBackError
	if errors.As(err, &back) {
		return fmt.Errorf("%w: Redis came back with older data; start again with --after %s", err, back.LastInLog)
	}
	return err
}

func (t *tail) print(entry events.Entry) error {
	if entry.Err != nil {
		t.logger.Warn("skipped an entry of the log that is not an event", "id", entry.ID.String(), "error", entry.Err)
		return nil //nolint:nilerr // reported and skipped
	}
	e := entry.Envelope
	if !t.filter.Match(e.Type) {
		return nil
	}
	if t.json {
		raw := string(entry.Raw)
		if terminal.Is(t.out) {
			raw = terminal.Escape(raw)
		}
		_, err := fmt.Fprintln(t.out, raw)
		return err
	}
	_, err := fmt.Fprintln(t.out, terminal.Escape(eventLine(&e, "15:04:05.000")))
	return err
}

// eventLine returns an event as a line of a table. layout is that of its time.
func eventLine(e *events.Envelope, layout string) string {
	return fmt.Sprintf("%s  %-22s %-16s %s", e.Time().Local().Format(layout), e.Type, e.Actor, summary(e.Payload))
}

// summary returns the most important members of a payload on one line.
func summary(payload json.RawMessage) string {
	var p map[string]json.RawMessage
	if json.Unmarshal(payload, &p) != nil {
		return string(payload)
	}
	var parts []string
	for _, name := range []string{
		"id", "taskId", "text", "instanceId", "workerId", "previousAssignment", "attempt", "status", "reason", "priority", "changes",
		"roles", "becameLeader", "term", "tasksReassigned", "waited", "duration", "result", "error",
	} {
		v, ok := p[name]
		if !ok || string(v) == "null" || string(v) == "false" {
			continue
		}
		text := string(v)
		if !strings.ContainsAny(text, " =") {
			text = strings.Trim(text, `"`)
		}
		if runes := []rune(text); len(runes) > 60 {
			text = string(runes[:59]) + "…"
		}
		parts = append(parts, name+"="+text)
	}
	return strings.Join(parts, " ")
}

// pause waits for d, and reports whether ctx did not end first.
func pause(ctx context.Context, d time.Duration) bool {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return true
	case <-ctx.Done():
		return false
	}
}
