package main

import (
	"errors"
	"fmt"
	"io"
	"maps"
	"slices"
	"strconv"
	"strings"

	"github.com/spf13/cobra"

	"github.com/claudebench/claudebench/client"
	"github.com/claudebench/claudebench/internal/api"
	"github.com/claudebench/claudebench/internal/config"
	"github.com/claudebench/claudebench/internal/past"
	"github.com/claudebench/claudebench/internal/position"
	"github.com/claudebench/claudebench/internal/timetravel"
)

func newState() *cobra.Command {
	cfg := &config.Config{}
	from := &target{}
	var at string
	limit, format := 50, tableFormat
	cmd := &cobra.Command{
		Use:   "state",
		Short: "Show the fleet as it stood at a moment",
		Long: `Fold the log up to a moment, and show what it says: the leader, the instances, the queues,
the limits and schedules, and the open tasks with their owners. Without --at, the moment is
the end of the log. The totals count everything, also what --limit leaves out. The log does
not say whether an instance was alive: a dead one is registered until the monitor notices.

A coordinator shows at most 200 entries of a list.

` + position.Help,
		Example: `  claudebench state --at 2026-11-22T03:00:00Z
  claudebench state --at 4711 --limit 1000
  claudebench state --at 1700000000000-42 --format json`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			where, err := checkPast(format, limit, at)
			if err != nil {
				return err
			}
			var state *api.PastState
			remote, err := from.remote(cmd, cfg)
			if err != nil {
				return err
			}
			if remote {
				if at == "" {
					at = endOfLog
				}
				most := min(limit, past.Limit)
				err = from.ask(func(c *client.Client) error {
					result, err := c.GetState(cmd.Context(), client.GetStateParams{At: at, Limit: &most})
					if err == nil {
						if state = result.Past; state == nil {
							err = errors.New("the coordinator is of an earlier version, which cannot look back")
						}
					}
					return err
				})
			} else {
				err = fromLog(cmd, cfg, func(log timetravel.Source) error {
					state, err = timetravel.State(cmd.Context(), timetravel.Options{Log: log, Limit: limit}, where[0])
					return err
				})
			}
			if err != nil {
				return err
			}
			if format == jsonFormat {
				return writeJSON(cmd.OutOrStdout(), state)
			}
			return writeState(cmd.OutOrStdout(), state)
		},
	}
	cmd.Flags().StringVar(&at, "at", "", "the moment: a position in the log (default: the end of the log)")
	cmd.Flags().IntVar(&limit, "limit", limit, "the most entries of each list")
	cmd.Flags().StringVar(&format, "format", tableFormat, "table or json")
	bindSource(cmd, cfg, from)
	cfg.BindLog(cmd.Flags())
	return cmd
}

// endOfLog is a position behind every event.
const endOfLog = "99999999999"

// checkPast checks what the commands about the past have in common, and parses the positions.
func checkPast(format string, limit int, positions ...string) ([]position.Position, error) {
	if err := checkFormat(format); err != nil {
		return nil, err
	}
	if limit < 1 {
		return nil, usageError(errors.New("--limit must be at least 1"))
	}
	var parsed []position.Position
	for _, text := range positions {
		p, err := position.Parse(text)
		if err != nil {
			return nil, usageError(err)
		}
		parsed = append(parsed, p)
	}
	return parsed, nil
}

func writeState(w io.Writer, s *api.PastState) error {
	leader := "no leader"
	if s.Leader != "" {
		leader = fmt.Sprintf("leader %s, term %d", s.Leader, s.Term)
	}
	var counts []string
	for _, name := range slices.Sorted(maps.Keys(s.Statuses)) {
		if n := s.Statuses[name]; n > 0 {
			counts = append(counts, fmt.Sprintf("%d %s", n, name))
		}
	}
	if err := writeLines(w, fmt.Sprintf("The fleet after %s; %s.", moment(s.At), leader), "Tasks: "+orDash(strings.Join(counts, ", "))); err != nil {
		return err
	}
	err := section(w, "Queues", "ROLES\tWAITING\tPAUSE", int64(len(s.Queues)), s.Totals.Queues, func(row func(...string)) {
		for _, q := range s.Queues {
			row(rolesText(string(q.Roles)), strconv.FormatInt(q.Waiting, 10), orDash(string(q.Pause)))
		}
	})
	if err == nil {
		err = section(w, "Limits", "KEY\tRUNNING\tLIMIT", int64(len(s.Limits)), s.Totals.Limits, func(row func(...string)) {
			for _, l := range s.Limits {
				row(l.Key, strconv.FormatInt(l.Running, 10), strconv.FormatInt(l.Concurrent, 10))
			}
		})
	}
	if err == nil {
		err = section(w, "Schedules", "ID\tCRON\tZONE\tNEXT\tFIRED", int64(len(s.Schedules)), s.Totals.Schedules, func(row func(...string)) {
			for _, c := range s.Schedules {
				next := c.NextTick
				if c.Paused {
					next = "paused"
				}
				row(c.ID, c.Cron, c.Timezone, orDash(next), strconv.FormatInt(c.Fired, 10))
			}
		})
	}
	if err == nil {
		err = section(w, "Instances", "ID\tROLES\tSTATUS\tIN PROGRESS\tASSIGNED\tSESSION\tREGISTERED", int64(len(s.Instances)), s.Totals.Instances, func(row func(...string)) {
			for _, i := range s.Instances {
				row(i.ID, string(i.Roles), orDash(i.Status), strconv.FormatInt(i.InProgress, 10), strconv.FormatInt(i.Assigned, 10), orDash(i.SessionID), orDash(i.RegisteredAt))
			}
		})
	}
	if err == nil {
		err = section(w, "Open tasks", "ID\tSTATUS\tPLACE\tOWNER\tPRIORITY\tATTEMPT\tSINCE\tTEXT", int64(len(s.Tasks)), s.Totals.Tasks, func(row func(...string)) {
			for _, t := range s.Tasks {
				row(t.ID, t.Status, t.Place, orDash(t.AssignedTo), strconv.FormatInt(t.Priority, 10), strconv.FormatInt(t.Attempt, 10), orDash(t.Since), shortText(t.Text))
			}
		})
	}
	if err == nil {
		err = writeNotes(w, s.Notes)
	}
	return err
}

// section writes a list with its title and totals, or nothing for an empty one.
func section(w io.Writer, title, head string, shown, total int64, rows func(row func(...string))) error {
	if total == 0 {
		return nil
	}
	if shown < total {
		title += fmt.Sprintf(" (%d of %d)", shown, total)
	} else {
		title += fmt.Sprintf(" (%d)", total)
	}
	if err := writeLines(w, "", title); err != nil {
		return err
	}
	return writeTable(w, head, rows)
}

func moment(m api.PastMoment) string {
	if m.ID == "" {
		return "no event"
	}
	return fmt.Sprintf("event %s (seq %d, %s)", m.ID, m.Seq, m.Time)
}

// rolesText returns a role set for people.
func rolesText(roles string) string {
	switch roles {
	case "null":
		return "(all queues)"
	case "[]":
		return "(none)"
	}
	return roles
}

// shortText returns the first line of a text, as far as it fits into a table.
func shortText(text string) string {
	text, _, _ = strings.Cut(text, "\n")
	if runes := []rune(text); len(runes) > 60 {
		return string(runes[:59]) + "…"
	}
	return text
}
