package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strconv"

	"github.com/redis/go-redis/v9"
	"github.com/spf13/cobra"

	"github.com/claudebench/claudebench/internal/config"
	"github.com/claudebench/claudebench/internal/keys"
	"github.com/claudebench/claudebench/internal/trim"
)

func newTrim() *cobra.Command {
	cfg := &config.Config{}
	var dryRun bool
	var ignore []string
	format := tableFormat
	cmd := &cobra.Command{
		Use:   "trim",
		Short: "Remove the beginning of the log from Redis once",
		Long: `Remove events from Redis that are older than --retain, or beyond the last --retain-events. Only
events that are in closed segments of the archive are removed, and only those that are sealed
if the log is sealed. The last 1,000 events always stay, and up to a hundred more than asked
for. The topics are trimmed with the log.

A projection, a service with a checkpoint in Redis or a consumer group that has not handled an
event keeps it and all later ones in the log. 'claudebench checkpoints' shows in HOLDS how many.
--ignore NAME removes them all the same: NAME is that of a checkpoint, tasks or events for a
projection in Postgres, or stream:group for a consumer group, as in task.created:mail or
events:mail. To release a service that no longer exists for good, delete its checkpoint
('claudebench checkpoints delete NAME') or its group (XGROUP DESTROY).

'claudebench serve --retain' does the same all the time.`,
		Example: `  claudebench trim --retain 168h --dry-run
  claudebench trim --retain 168h
  claudebench trim --retain-events 1000000 --ignore billing --ignore task.created:mail`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			policy := trim.Policy{Age: cfg.Retain, Events: cfg.RetainEvents, Ignore: ignore}
			if err := errors.Join(checkFormat(format), usageError(policy.Validate())); err != nil {
				return err
			}
			if !policy.Active() {
				return usageError(errors.New("say what to keep: pass --retain or --retain-events"))
			}
			client, space, err := openStores(cmd.Context(), cfg)
			if err != nil {
				return err
			}
			defer func() { _ = client.Close() }()
			if err := logExists(cmd.Context(), client, space); err != nil {
				return err
			}
			report, err := trimLog(cmd.Context(), client, space, policy, dryRun)
			if err != nil {
				if report.Removed > 0 {
					err = fmt.Errorf("%w (%d entries were removed before)", err, report.Removed)
				}
				return err
			}
			if format == jsonFormat {
				return writeJSON(cmd.OutOrStdout(), report)
			}
			return writeTrim(cmd.OutOrStdout(), report, dryRun)
		},
	}
	cmd.Flags().BoolVar(&dryRun, "dry-run", false, "only say what would be removed, and what holds it back")
	cmd.Flags().StringArrayVar(&ignore, "ignore", nil, "the name of a reader that does not hold back; may be repeated")
	cmd.Flags().StringVar(&format, "format", tableFormat, "table or json")
	cfg.BindRetention(cmd.Flags())
	bindRedis(cmd, cfg)
	cfg.BindLog(cmd.Flags())
	return cmd
}

// trimLog trims the log, or with dryRun says what that would do.
func trimLog(ctx context.Context, client redis.UniversalClient, space keys.Space, policy trim.Policy, dryRun bool) (trim.Report, error) {
	if dryRun {
		planner, err := trim.NewPlanner(client, space)
		if err != nil {
			return trim.Report{}, err
		}
		return planner.Plan(ctx, policy)
	}
	trimmer, err := trim.New(client, space)
	if err != nil {
		return trim.Report{}, err
	}
	return trimmer.Trim(ctx, policy, func(context.Context) error { return nil })
}

func writeTrim(w io.Writer, r trim.Report, dryRun bool) error {
	var err error
	switch {
	case dryRun && r.Removed == 0:
		_, err = fmt.Fprintf(w, "nothing to remove; the log begins with %s\n", r.First)
	case dryRun:
		_, err = fmt.Fprintf(w, "would remove about %d entries; the log would begin with %s\n", r.Removed, r.Limit)
	default:
		_, err = fmt.Fprintf(w, "removed %d entries; the log begins with %s\n", r.Removed, r.First)
	}
	if err != nil || len(r.Holders) == 0 {
		return err
	}
	if _, err := fmt.Fprintf(w, "\n%d events stay beyond the retention, because these need them:\n", r.HeldBack); err != nil {
		return err
	}
	return writeTable(w, "NAME\tKIND\tNEEDS\tHOLDS", func(row func(...string)) {
		for _, h := range r.Holders {
			row(h.Name, h.Kind, h.Needs, strconv.FormatInt(h.Events, 10))
		}
	})
}
