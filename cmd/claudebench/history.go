package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"maps"
	"slices"
	"strconv"
	"time"

	"github.com/spf13/cobra"

	"github.com/claudebench/claudebench/client"
	"github.com/claudebench/claudebench/events"
	"github.com/claudebench/claudebench/internal/api"
	"github.com/claudebench/claudebench/internal/config"
	"github.com/claudebench/claudebench/internal/terminal"
	"github.com/claudebench/claudebench/internal/timetravel"
	"github.com/claudebench/claudebench/projections"
)

func newHistory() *cobra.Command {
	cfg := &config.Config{}
	from := &target{}
	o := timetravel.HistoryOptions{}
	format := tableFormat
	var instance bool
	cmd := &cobra.Command{
		Use:   "history TASK|INSTANCE",
		Short: "Tell what happened to a task or an instance",
		Long: `Print every event about a task or an instance: when it happened, the time since the event
before, who acted, and why. The totals at the end count all events, also those before --limit.

With Postgres, history reads the index of events first, which also has what was trimmed from
the log, and then the rest of the log. Without Postgres it reads the log: for a task from its
creation, for an instance from the beginning.

A coordinator needs Postgres and the index of events.`,
		Example: `  claudebench history t-42
  claudebench history worker-1 --limit 20
  claudebench history t-42 --format json
  claudebench history t-42 --url https://cb.example`,
		Args: cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			if err := checkFormat(format); err != nil {
				return err
			}
			if o.Limit < 1 {
				return usageError(errors.New("--limit must be at least 1"))
			}
			var ok bool
			if o.Subject, ok = timetravel.TaskSubject(args[0]); !ok || instance {
				o.Subject = timetravel.Subject{Instance: args[0]}
			}
			story, err := tellHistory(cmd, cfg, from, o)
			if err != nil {
				return err
			}
			if story.Totals.Events == 0 {
				return fmt.Errorf("no event is about %s; an id of a task is like t-42, and all else is the id of an instance", args[0])
			}
			if format == jsonFormat {
				return writeJSON(cmd.OutOrStdout(), story)
			}
			return writeHistory(cmd.OutOrStdout(), o.Subject, story)
		},
	}
	cmd.Flags().IntVar(&o.Limit, "limit", 1000, "the most events to print; the last ones are printed")
	cmd.Flags().BoolVar(&instance, "instance", false, "the argument is the id of an instance, even if it looks like that of a task")
	cmd.Flags().StringVar(&format, "format", tableFormat, "table or json")
	bindSource(cmd, cfg, from)
	cfg.BindLog(cmd.Flags())
	return cmd
}

func tellHistory(cmd *cobra.Command, cfg *config.Config, from *target, o timetravel.HistoryOptions) (*timetravel.History, error) {
	ctx := cmd.Context()
	remote, err := from.remote(cmd, cfg)
	if err != nil {
		return nil, err
	}
	if remote {
		c, err := from.dial()
		if err != nil {
			return nil, err
		}
		defer c.Close()
		o.Index, o.Find = historyMethod(c, o.Subject), findMethod(c)
		story, err := timetravel.Tell(ctx, o)
		return story, from.explained(err)
	}
	client, space, err := openStores(ctx, cfg)
	if err != nil {
		return nil, err
	}
	defer func() { _ = client.Close() }()
	if err := logExists(ctx, client, space); err != nil {
		return nil, err
	}
	stored, closeArchive, err := openArchive(cmd, cfg)
	if err != nil {
		return nil, err
	}
	defer closeArchive()
	if o.Log, err = events.NewReader(client, events.ReaderConfig{Namespace: cfg.Namespace, Archive: stored, Logger: slog.New(slog.DiscardHandler)}); err != nil {
		return nil, usageError(err)
	}
	if cfg.DatabaseURL != "" {
		pool, err := projections.OpenPool(ctx, cfg.DatabaseURL, cfg.Namespace)
		if err != nil {
			return nil, err
		}
		defer pool.Close()
		o.Index = historyIndex(projections.NewEvents(projections.PostgresConfig{Pool: pool}), o.Subject)
	}
	return timetravel.Tell(ctx, o)
}

// historyIndex reads the index of events in Postgres. An index that was never built has no events.
func historyIndex(index *projections.Events, subject timetravel.Subject) timetravel.Pages {
	return func(ctx context.Context, cursor string) ([]json.RawMessage, string, events.ID, error) {
		q := api.EventQuery{Task: subject.Task, Instance: subject.Instance, Limit: 1000}
		var err error
		if cursor != "" {
			if q.Cursor, err = strconv.ParseInt(cursor, 10, 64); err != nil {
				return nil, "", events.ID{}, err
			}
		}
		page, err := index.List(ctx, q)
		if err != nil || page.Next == 0 {
			return page.Events, "", page.At, err
		}
		return page.Events, strconv.FormatInt(page.Next, 10), page.At, nil
	}
}

// historyMethod reads the index of events through a coordinator.
func historyMethod(c *client.Client, subject timetravel.Subject) timetravel.Pages {
	method := "task.history"
	if subject.Task == 0 {
		method = "instance.history"
	}
	return func(ctx context.Context, cursor string) ([]json.RawMessage, string, events.ID, error) {
		params := map[string]any{"id": subject.String(), "limit": 1000}
		if cursor != "" {
			params["cursor"] = cursor
		}
		var page struct {
			Events     []json.RawMessage `json:"events"`
			NextCursor string            `json:"nextCursor"`
		}
		err := c.Call(ctx, method, params, &page)
		return page.Events, page.NextCursor, events.ID{}, err
	}
}

// findMethod returns what reads a single event through a coordinator. An event that is not in the log
// any more is no error.
func findMethod(c *client.Client) func(context.Context, events.ID) (*events.Envelope, error) {
	return func(ctx context.Context, id events.ID) (*events.Envelope, error) {
		var text json.RawMessage
		err := c.Call(ctx, "event.get", api.GetEventParams{Seq: id.Seq}, &text)
		var refused *client.Error
		switch {
		case errors.As(err, &refused) && refused.Code == api.CodeNotFound:
			return nil, nil
		case err != nil:
			return nil, err
		}
		e, err := events.Decode(text)
		if err != nil {
			return nil, fmt.Errorf("event.get: %w", err)
		}
		return &e, nil
	}
}

func writeHistory(w io.Writer, subject timetravel.Subject, h *timetravel.History) error {
	other := "INSTANCES"
	if subject.Task == 0 {
		other = "TASK"
	}
	if h.LeftOut > 0 {
		if _, err := fmt.Fprintf(w, "%d earlier events are left out; pass a higher --limit\n", h.LeftOut); err != nil {
			return err
		}
	}
	err := writeTable(w, "TIME\tGAP\tSEQ\tEVENT\tSTATUS\t"+other+"\tACTOR\tDETAILS", func(row func(...string)) {
		for _, s := range h.Events {
			row(s.Time().Format(events.TimeLayout), "+"+duration(s.GapMs), strconv.FormatInt(s.Seq, 10), string(s.Type), orDash(s.Status()),
				orDash(s.Others(subject)), s.Actor, orDash(s.Details()))
		}
	})
	if err != nil {
		return err
	}
	sums := h.Totals
	line := fmt.Sprintf("\n%s: %d events in %s", h.Subject, sums.Events, duration(sums.SpanMs))
	if sums.Status != "" {
		line += ", now " + sums.Status
	}
	line += fmt.Sprintf("; waited %s, ran %s", duration(sums.WaitedMs), duration(sums.RanMs))
	if sums.LongestGap != nil {
		line += fmt.Sprintf("; longest gap %s, after seq %d", duration(sums.LongestGap.Ms), sums.LongestGap.After.Seq)
	}
	for _, status := range slices.Sorted(maps.Keys(sums.InStatusMs)) {
		line += fmt.Sprintf("\n  %s for %s", status, duration(sums.InStatusMs[status]))
	}
	for _, typ := range slices.Sorted(maps.Keys(sums.Types)) {
		line += fmt.Sprintf("\n  %s: %d", typ, sums.Types[typ])
	}
	for _, note := range h.Notes {
		line += "\nNote: " + note
	}
	_, err = fmt.Fprintln(w, terminal.Escape(line))
	return err
}

func duration(ms int64) string { return (time.Duration(ms) * time.Millisecond).String() }
