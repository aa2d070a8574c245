package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strconv"

	"github.com/redis/go-redis/v9"
	"github.com/spf13/cobra"

	"github.com/claudebench/claudebench/events"
	"github.com/claudebench/claudebench/internal/config"
	"github.com/claudebench/claudebench/internal/keys"
	"github.com/claudebench/claudebench/internal/subscribers"
	"github.com/claudebench/claudebench/lua"
)

func newParked() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "parked",
		Short: "List, retry and drop events that consumer groups gave up",
		Long: `List, retry and drop events that consumer groups gave up. An events.GroupSubscriber parks an
event that its handlers failed to handle time and again, or that does not decode, in the stream
cb:stream:parked, and goes on with the next one. At most 10,000 events can be parked. While
there are so many, groups deliver failed events on and on.`,
		Example: `  claudebench parked list`,
		Args: func(_ *cobra.Command, args []string) error {
			if len(args) > 0 {
				return fmt.Errorf("parked %s: unknown command; the commands are list, retry and drop", args[0])
			}
			return nil
		},
		RunE: func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
	}
	cmd.AddCommand(newParkedList(), newParkedRetry(), newParkedDrop())
	return cmd
}

// parkedStores is what the commands work on.
type parkedStores struct {
	client redis.UniversalClient
	space  keys.Space
}

// onParked opens Redis for a command.
func onParked(cmd *cobra.Command, cfg *config.Config, run func(ctx context.Context, s parkedStores) error) error {
	client, space, err := openStores(cmd.Context(), cfg)
	if err != nil {
		return err
	}
	defer func() { _ = client.Close() }()
	if err := logExists(cmd.Context(), client, space); err != nil {
		return err
	}
	return run(cmd.Context(), parkedStores{client, space})
}

func newParkedList() *cobra.Command {
	cfg := &config.Config{}
	var group, format string
	cmd := &cobra.Command{
		Use:   "list",
		Short: "List the parked events",
		Long: `List the parked events, the oldest first. REASON is nacked (the handlers failed), unanswered
(members died or did not answer in time) or malformed (the entry of the topic is not an event).
EVENT is the ID in the log. The JSON has the stored entry too.`,
		Example: `  claudebench parked list
  claudebench parked list --group billing --format json`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if err := checkFormat(format); err != nil {
				return err
			}
			return onParked(cmd, cfg, func(ctx context.Context, s parkedStores) error {
				list, err := subscribers.ListParked(ctx, s.client, s.space, group)
				if err != nil {
					return err
				}
				if format == jsonFormat {
					return writeJSON(cmd.OutOrStdout(), list)
				}
				return writeParked(cmd.OutOrStdout(), list)
			})
		},
	}
	cmd.Flags().StringVar(&group, "group", "", "only events of this consumer group")
	cmd.Flags().StringVar(&format, "format", tableFormat, "table or json")
	bindRedis(cmd, cfg)
	cfg.BindLog(cmd.Flags())
	return cmd
}

func writeParked(w io.Writer, list []subscribers.Parked) error {
	return writeTable(w, "ID\tPARKED\tGROUP\tTYPE\tEVENT\tDELIVERIES\tREASON\tDETAIL", func(row func(...string)) {
		for _, p := range list {
			row(p.ID, p.At, p.Group, p.Type, p.Event, strconv.FormatInt(p.Deliveries, 10), p.Reason, p.Detail)
		}
	})
}

// selected are the flags and arguments that select parked events.
type selected struct {
	all   bool
	group string
}

func (s *selected) bind(cmd *cobra.Command) {
	cmd.Flags().BoolVar(&s.all, "all", false, "all parked events")
	cmd.Flags().StringVar(&s.group, "group", "", "all parked events of this consumer group")
	cmd.MarkFlagsMutuallyExclusive("all", "group")
}

// check returns an error unless the command line selects events in one way.
func (s *selected) check(ids []string) error {
	if n := len(ids); (n > 0) == (s.all || s.group != "") {
		return usageError(errors.New("pass the IDs of parked events, or --all, or --group"))
	}
	for _, id := range ids {
		if _, err := events.ParseID(id); err != nil {
			return usageError(fmt.Errorf("%w; 'claudebench parked list' shows the IDs of parked events", err))
		}
	}
	return nil
}

// ids returns the IDs of the selected events.
func (s *selected) ids(ctx context.Context, stores parkedStores, given []string) ([]string, error) {
	if len(given) > 0 {
		return given, nil
	}
	list, err := subscribers.ListParked(ctx, stores.client, stores.space, s.group)
	for _, p := range list {
		given = append(given, p.ID)
	}
	return given, err
}

func newParkedRetry() *cobra.Command {
	return newParkedChange(&cobra.Command{
		Use:   "retry [ID…]",
		Short: "Deliver parked events again",
		Long: `Deliver parked events again, each to the consumer group that has parked it and to no other.
They come before new events, and count their deliveries anew. Their handlers may have done a
part of the work before. The group must exist: start its service before.`,
		Example: `  claudebench parked retry 1761000000000-0
  claudebench parked retry --group billing`,
	}, "retried", subscribers.RetryParked)
}

func newParkedDrop() *cobra.Command {
	return newParkedChange(&cobra.Command{
		Use:   "drop [ID…]",
		Short: "Delete parked events",
		Long: `Delete parked events. Their groups never get them again. The log and the other subscribers
are not affected.`,
		Example: `  claudebench parked drop 1761000000000-0
  claudebench parked drop --group billing`,
	}, "dropped", subscribers.DropParked)
}

func newParkedChange(cmd *cobra.Command, done string, change func(context.Context, lua.Scripts, []string) (subscribers.Outcome, error)) *cobra.Command {
	cfg := &config.Config{}
	var which selected
	cmd.Args = cobra.ArbitraryArgs
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		if err := which.check(args); err != nil {
			return err
		}
		return onParked(cmd, cfg, func(ctx context.Context, s parkedStores) error {
			ids, err := which.ids(ctx, s, args)
			if err != nil {
				return err
			}
			outcome, err := change(ctx, lua.NewRunner(s.client).On(s.space.Log()), ids)
			if _, printed := fmt.Fprintf(cmd.OutOrStdout(), "%s %d\n", done, outcome.Done); err == nil {
				err = printed
			}
			if err != nil {
				return err
			}
			return outcomeError(outcome)
		})
	}
	which.bind(cmd)
	bindRedis(cmd, cfg)
	cfg.BindLog(cmd.Flags())
	return cmd
}

// outcomeError returns an error that says what was not done, and why.
func outcomeError(o subscribers.Outcome) error {
	var errs []error
	for _, left := range []struct {
		n   int64
		why string
	}{
		{o.NotParked, "not parked (any more)"},
		{o.WithoutGroup, "of a consumer group that does not exist; start its service, or drop the events"},
		{o.Lost, "no longer in the log, which was trimmed; drop the events"},
	} {
		if left.n > 0 {
			errs = append(errs, fmt.Errorf("%d left: %s", left.n, left.why))
		}
	}
	return errors.Join(errs...)
}
