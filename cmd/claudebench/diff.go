package main

import (
	"errors"
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"github.com/claudebench/claudebench/client"
	"github.com/claudebench/claudebench/internal/api"
	"github.com/claudebench/claudebench/internal/config"
	"github.com/claudebench/claudebench/internal/past"
	"github.com/claudebench/claudebench/internal/position"
	"github.com/claudebench/claudebench/internal/timetravel"
)

func newDiff() *cobra.Command {
	cfg := &config.Config{}
	from := &target{}
	limit, format := 50, tableFormat
	cmd := &cobra.Command{
		Use:   "diff FROM [TO]",
		Short: "Show what changed between two moments",
		Long: `Fold the log up to two moments, and show what changed between them: tasks with their owners,
instances, the leader, pauses, limits and schedules. Without TO, the second moment is the end
of the log. The totals count everything, also what --limit leaves out. A task that was created
and deleted between the moments counts in the totals only.

A coordinator shows at most 200 entries of a list.

` + position.Help,
		Example: `  claudebench diff 2026-11-22T03:00:00Z 2026-11-22T04:00:00Z
  claudebench diff 4711
  claudebench diff 0 4711 --format json`,
		Args: cobra.RangeArgs(1, 2),
		RunE: func(cmd *cobra.Command, args []string) error {
			args = append(args, endOfLog)
			where, err := checkPast(format, limit, args[0], args[1])
			if err != nil {
				return err
			}
			var diff *api.PastDiff
			remote, err := from.remote(cmd, cfg)
			if err != nil {
				return err
			}
			if remote {
				most := min(limit, past.Limit)
				err = from.ask(func(c *client.Client) (err error) {
					diff, err = c.Diff(cmd.Context(), client.DiffParams{From: args[0], To: args[1], Limit: &most})
					return err
				})
			} else {
				err = fromLog(cmd, cfg, func(log timetravel.Source) error {
					diff, err = timetravel.Diff(cmd.Context(), timetravel.Options{Log: log, Limit: limit}, where[0], where[1])
					return err
				})
			}
			if errors.Is(err, timetravel.ErrOrder) {
				return usageError(err)
			}
			if err != nil {
				return err
			}
			if format == jsonFormat {
				return writeJSON(cmd.OutOrStdout(), diff)
			}
			return writeDiff(cmd.OutOrStdout(), diff)
		},
	}
	cmd.Flags().IntVar(&limit, "limit", limit, "the most changes of each list")
	cmd.Flags().StringVar(&format, "format", tableFormat, "table or json")
	bindSource(cmd, cfg, from)
	cfg.BindLog(cmd.Flags())
	return cmd
}

func writeDiff(w io.Writer, d *api.PastDiff) error {
	lines := []string{
		"From " + moment(d.From), "to   " + moment(d.To),
		fmt.Sprintf("%d events; %d tasks created, %d others changed; %d instances changed", d.Events, d.Totals.Created, d.Totals.Tasks, d.Totals.Instances),
	}
	for _, typ := range slices.Sorted(maps.Keys(d.Types)) {
		lines = append(lines, fmt.Sprintf("  %s: %d", typ, d.Types[typ]))
	}
	if err := writeLines(w, lines...); err != nil {
		return err
	}
	err := section(w, "Tasks by status", "STATUS\tBEFORE\tAFTER", int64(len(d.Statuses)), int64(len(d.Statuses)), func(row func(...string)) {
		for _, s := range d.Statuses {
			row(s.Status, fmt.Sprint(s.Before), fmt.Sprint(s.After))
		}
	})
	if err == nil {
		err = section(w, "Tasks", "ID\tBEFORE\tAFTER\tCHANGED", int64(len(d.Tasks)), d.Totals.Created+d.Totals.Tasks, func(row func(...string)) {
			for _, c := range d.Tasks {
				row(c.ID, taskText(c.Before), taskText(c.After), strings.Join(c.Changed, ", "))
			}
		})
	}
	if err == nil {
		err = section(w, "Instances", "ID\tBEFORE\tAFTER\tCHANGED", int64(len(d.Instances)), d.Totals.Instances, func(row func(...string)) {
			for _, c := range d.Instances {
				row(c.ID, instanceText(c.Before), instanceText(c.After), strings.Join(c.Changed, ", "))
			}
		})
	}
	if err == nil {
		err = section(w, "Others", "KIND\tNAME\tBEFORE\tAFTER", int64(len(d.Others)), d.Totals.Others, func(row func(...string)) {
			for _, c := range d.Others {
				row(c.Kind, orDash(c.Name), orDash(c.Before), orDash(c.After))
			}
		})
	}
	if err == nil {
		err = writeNotes(w, d.Notes)
	}
	return err
}

func taskText(t *api.PastTask) string {
	switch {
	case t == nil:
		return "-"
	case t.AssignedTo == "":
		return t.Status
	}
	return t.Status + " with " + t.AssignedTo
}

func instanceText(i *api.PastInstance) string {
	if i == nil {
		return "-"
	}
	return fmt.Sprintf("%s, %d in progress, %d assigned", orDash(i.Status), i.InProgress, i.Assigned)
}
