package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strconv"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"

	"github.com/claudebench/claudebench/internal/api"
	"github.com/claudebench/claudebench/internal/config"
	"github.com/claudebench/claudebench/internal/subscribers"
	"github.com/claudebench/claudebench/internal/taskview"
	"github.com/claudebench/claudebench/internal/terminal"
	"github.com/claudebench/claudebench/lua"
	"github.com/claudebench/claudebench/projections"
)

func newCheckpoints() *cobra.Command {
	cfg := &config.Config{}
	format := tableFormat
	cmd := &cobra.Command{
		Use:   "checkpoints",
		Short: "List who reads the log and how far behind it is",
		Long: `List up to 200 readers of the log and its topics: the projections, the services that keep
their checkpoint in Redis, and the consumer groups. POSITION is the last event read, LAG the
number of events after it, and AGE the age of the first of these. PENDING counts the events
that a group has got and not acknowledged, and PARKED those that it gave up ('claudebench
parked list'). HOLDS counts the events that a log with a retention keeps beyond it for this
reader. MOVED is when a checkpoint moved last, by its service's clock.

A service that keeps its checkpoint elsewhere is not listed. A service of an earlier version
is listed after it has been upgraded and its checkpoint has moved.`,
		Example: `  claudebench checkpoints
  claudebench checkpoints --format json
  claudebench checkpoints delete billing`,
		Args: func(_ *cobra.Command, args []string) error {
			if len(args) > 0 {
				return fmt.Errorf("checkpoints %s: unknown command; the only one is checkpoints delete", args[0])
			}
			return nil
		},
		RunE: func(cmd *cobra.Command, _ []string) error {
			if err := checkFormat(format); err != nil {
				return err
			}
			client, space, err := openStores(cmd.Context(), cfg)
			if err != nil {
				return err
			}
			defer func() { _ = client.Close() }()
			if err := logExists(cmd.Context(), client, space); err != nil {
				return err
			}
			at, inPostgres := postgresCheckpoints(cmd.Context(), cfg)
			list, err := subscribers.List(cmd.Context(), lua.NewReadOnlyRunner(client).On(space.Log()), at, inPostgres...)
			if err != nil {
				return err
			}
			if format == jsonFormat {
				return writeJSON(cmd.OutOrStdout(), list)
			}
			return writeSubscribers(cmd.OutOrStdout(), list)
		},
	}
	cmd.Flags().StringVar(&format, "format", tableFormat, "table or json")
	bindStores(cmd, cfg)
	cfg.BindLog(cmd.Flags())
	cmd.AddCommand(newCheckpointsDelete())
	return cmd
}

func newCheckpointsDelete() *cobra.Command {
	cfg := &config.Config{}
	cmd := &cobra.Command{
		Use:   "delete NAME",
		Short: "Delete the checkpoint of a service",
		Long: `Delete the checkpoint of a service that no longer exists, or that shall begin again as it did
the first time. It then no longer holds back a trim of the log. Stop the service before: while it runs, it saves its checkpoint again.
Consumer groups and projections have no checkpoint that can be deleted here; 'claudebench
rebuild' builds a projection again.`,
		Example: `  claudebench checkpoints delete billing`,
		Args:    cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			client, space, err := openStores(cmd.Context(), cfg)
			if err != nil {
				return err
			}
			defer func() { _ = client.Close() }()
			if err := logExists(cmd.Context(), client, space); err != nil {
				return err
			}
			found, err := subscribers.DeleteCheckpoint(cmd.Context(), client, space, args[0])
			if err != nil {
				return err
			}
			if !found {
				return fmt.Errorf("no service has the checkpoint %q; 'claudebench checkpoints' lists them", args[0])
			}
			_, err = fmt.Fprintf(cmd.OutOrStdout(), "deleted the checkpoint %q\n", args[0])
			return err
		},
	}
	bindRedis(cmd, cfg)
	cfg.BindLog(cmd.Flags())
	return cmd
}

// The values of --format.
const (
	tableFormat = "table"
	textFormat  = "text"
	jsonFormat  = "json"
)

func checkFormat(format string) error {
	if format != tableFormat && format != jsonFormat {
		return usageError(errors.New("--format " + format + ": the formats are table and json"))
	}
	return nil
}

// postgresCheckpoints returns the checkpoints in Postgres, and the names of the projections there: none
// without a database, and no index of events if none was ever kept.
func postgresCheckpoints(ctx context.Context, cfg *config.Config) (at taskview.Checkpoints, inPostgres []string) {
	if cfg.DatabaseURL == "" {
		return at, nil
	}
	inPostgres = []string{"tasks"}
	ctx, cancel := context.WithTimeout(ctx, 5*time.Second)
	defer cancel()
	pool, err := projections.OpenPool(ctx, cfg.DatabaseURL, cfg.Namespace)
	if err != nil {
		return at, inPostgres
	}
	defer pool.Close()
	postgres := projections.PostgresConfig{Pool: pool}
	if id, err := projections.NewTasks(postgres).Checkpoint(ctx); err == nil {
		at.Tasks = id.String()
	}
	if id, err := projections.NewEvents(postgres).Checkpoint(ctx); err == nil && !id.IsZero() {
		at.Events = id.String()
	}
	return at, inPostgres
}

func writeJSON(w io.Writer, v any) error {
	out := json.NewEncoder(terminal.Writer(w))
	out.SetEscapeHTML(false)
	out.SetIndent("", "  ")
	return out.Encode(v)
}

func writeSubscribers(w io.Writer, list *api.SubscribersResult) error {
	number := func(n *int64) string {
		if n == nil {
			return "-"
		}
		return strconv.FormatInt(*n, 10)
	}
	err := writeTable(w, "NAME\tKIND\tSTREAM\tPOSITION\tLAG\tAGE\tPENDING\tPARKED\tHOLDS\tMOVED", func(row func(...string)) {
		for _, s := range list.Subscribers {
			age := "-"
			if s.LagMs != nil {
				age = (time.Duration(*s.LagMs) * time.Millisecond).String()
			}
			row(s.Name, s.Kind, s.Stream, orDash(s.Position), number(s.Lag), age, number(s.Pending), number(s.Parked), number(s.Holds), orDash(s.UpdatedAt))
		}
	})
	if err == nil && list.Total > 0 {
		_, err = fmt.Fprintf(w, "%d more\n", list.Total-int64(len(list.Subscribers)))
	}
	if err == nil && list.Parked > 0 {
		_, err = fmt.Fprintf(w, "%d parked event(s); see 'claudebench parked list'\n", list.Parked)
	}
	return err
}

func orDash(text string) string {
	if text == "" {
		return "-"
	}
	return text
}

// writeTable writes a table. Names come from others, so they are escaped.
func writeTable(w io.Writer, head string, rows func(row func(cells ...string))) error {
	table := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	_, err := fmt.Fprintln(table, head)
	rows(func(cells ...string) {
		for i := range cells {
			cells[i] = strings.ReplaceAll(terminal.Escape(cells[i]), "\t", " ")
		}
		if err == nil {
			_, err = fmt.Fprintln(table, strings.Join(cells, "\t"))
		}
	})
	if err != nil {
		return err
	}
	return table.Flush()
}
