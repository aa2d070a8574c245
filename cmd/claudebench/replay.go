package main

import (
	"bufio"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"github.com/claudebench/claudebench/events"
	"github.com/claudebench/claudebench/internal/audit"
	"github.com/claudebench/claudebench/internal/config"
	"github.com/claudebench/claudebench/internal/position"
	"github.com/claudebench/claudebench/internal/terminal"
)

func newReplay() *cobra.Command {
	cfg := &config.Config{}
	var o audit.ReplayOptions
	cmd := &cobra.Command{
		Use:   "replay",
		Short: "Print the log as JSON Lines",
		Long: `Print the events of the log, oldest first, one JSON envelope a line, exactly as stored, and
stop at the end of the log. Replay holds one batch in memory at a time. It prints the number
of events to standard error.

` + position.Help,
		Example: `  claudebench replay > log.jsonl
  claudebench replay --from 2026-11-22T00:00:00Z --to 2026-11-22T01:00:00Z --types 'task.*'
  claudebench replay --types task.completed | jq -r .payload.workerId | sort | uniq -c`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if err := checkTypes(o.Types); err != nil {
				return usageError(err)
			}
			client, space, err := openStores(cmd.Context(), cfg)
			if err != nil {
				return err
			}
			defer func() { _ = client.Close() }()
			if err := logExists(cmd.Context(), client, space); err != nil {
				return err
			}
			stored, closeArchive, err := openArchive(cmd, cfg)
			if err != nil {
				return err
			}
			defer closeArchive()
			o.Redis, o.Namespace, o.Archive = client, cfg.Namespace, stored
			out := bufio.NewWriter(terminal.Writer(cmd.OutOrStdout()))
			replayed, err := audit.Replay(cmd.Context(), out, o)
			if flushed := out.Flush(); err == nil {
				err = flushed
			}
			if errors.Is(err, position.ErrInvalid) {
				return usageError(err)
			}
			if err != nil {
				return err
			}
			_, err = fmt.Fprintf(cmd.ErrOrStderr(), "%d events", replayed.Printed)
			if replayed.Other > 0 {
				_, err = fmt.Fprintf(cmd.ErrOrStderr(), ", %d of other types", replayed.Other)
			}
			if replayed.Foreign > 0 {
				_, err = fmt.Fprintf(cmd.ErrOrStderr(), ", %d entries that are not events", replayed.Foreign)
			}
			_, _ = fmt.Fprintln(cmd.ErrOrStderr())
			return err
		},
	}
	cmd.Flags().StringVar(&o.From, "from", "", "first event: a position in the log (default: the beginning of the log)")
	cmd.Flags().StringVar(&o.To, "to", "", "last event: a position in the log (default: the end of the log)")
	cmd.Flags().StringVar(&o.Types, "types", "", "event types to print, such as task.*,instance.failed (default: all)")
	bindArchive(cmd, cfg)
	bindStores(cmd, cfg)
	cfg.BindLog(cmd.Flags())
	return cmd
}

// checkTypes returns an error if a list of types contains a type or pattern that matches no event,
// because the empty output of a typo would look like an empty log.
func checkTypes(list string) error {
	if list == "" {
		return nil
	}
	var known []string
	for _, t := range events.Types() {
		known = append(known, string(t))
	}
	for item := range strings.SplitSeq(list, ",") {
		filter, err := events.ParseFilter(item)
		if err != nil {
			return err
		}
		if !slices.ContainsFunc(events.Types(), filter.Match) {
			return fmt.Errorf("--types: unknown event types %s; the types are %s", strings.TrimSpace(item), strings.Join(known, ", "))
		}
	}
	return nil
}
