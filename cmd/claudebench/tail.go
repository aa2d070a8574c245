package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/claudebench/claudebench/events"
	"github.com/claudebench/claudebench/internal/config"
	"github.com/claudebench/claudebench/internal/terminal"
)

func newTail() *cobra.Command {
	cfg := &config.Config{}
	var types, after string
	var asJSON bool
	cmd := &cobra.Command{
		Use:   "tail",
		Short: "Watch the events as they happen",
		Long: `Print events as they happen, one a line, until Ctrl-C. Tail resumes after an outage of Redis
and after a flush.`,
		Example: `  claudebench tail
  claudebench tail --types 'task.*,instance.failed'
  claudebench tail --after 0 --json`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if err := checkTypes(types); err != nil {
				return usageError(err)
			}
			filter, err := events.ParseFilter(types)
			if err != nil {
				return usageError(err)
			}
			at, err := parseAfter(after)
			if err != nil {
				return usageError(err)
			}
			client, space, err := openStores(cmd.Context(), cfg)
			if err != nil {
				return err
			}
			defer func() { _ = client.Close() }()
			logger := newLogger(cfg)
			reader, err := events.NewReader(client, events.ReaderConfig{Namespace: cfg.Namespace, Logger: logger})
			if err != nil {
				return usageError(err)
			}
			if err := logExists(cmd.Context(), client, space); err != nil {
				return err
			}
			t := &tail{reader: reader, logger: logger, out: cmd.OutOrStdout(), filter: filter, json: asJSON}
			return t.run(cmd.Context(), at)
		},
	}
	cmd.Flags().StringVar(&types, "types", events.All, "event types to print, such as task.*,instance.failed")
	cmd.Flags().StringVar(&after, "after", "", "the event ID to start after; 0 starts at the beginning of the log (default: new events only)")
	cmd.Flags().BoolVar(&asJSON, "json", false, "print each event's envelope as JSON")
	bindStores(cmd, cfg)
	cfg.BindLog(cmd.Flags())
	return cmd
}

// tail prints the log as it grows.
type tail struct {
	reader *events.Reader
	logger *slog.Logger
	out    io.Writer
	filter events.Filter
	json   bool
}

func (t *tail) run(ctx context.Context, after *events.ID) error {
	at, err := t.start(ctx, after)
	if err != nil {
		return err
	}
	away := false
	for {
		batch, err := t.reader.Read(ctx, at)
		switch {
		case ctx.Err() != nil:
			return nil //nolint:nilerr // Ctrl-C ends it normally
		case events.IsBroken(err):
			return t.broken(err)
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
	last, err := t.reader.Last(ctx)
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
	line := fmt.Sprintf("%s  %-22s %-16s %s", e.Time().Local().Format("15:04:05.000"), e.Type, e.Actor, summary(e.Payload))
	_, err := fmt.Fprintln(t.out, terminal.Escape(line))
	return err
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
