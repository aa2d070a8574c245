package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"github.com/claudebench/claudebench/events"
	"github.com/claudebench/claudebench/internal/audit"
	"github.com/claudebench/claudebench/internal/cloudevents"
	"github.com/claudebench/claudebench/internal/config"
	"github.com/claudebench/claudebench/internal/jsontext"
	"github.com/claudebench/claudebench/internal/position"
	"github.com/claudebench/claudebench/internal/terminal"
)

// The values of --format of replay, besides tableFormat.
const (
	jsonLinesFormat   = "jsonl"
	cloudEventsFormat = "cloudevents"
)

func newReplay() *cobra.Command {
	cfg, at := &config.Config{}, &target{}
	var o audit.ReplayOptions
	var first, last string
	format := jsonLinesFormat
	cmd := &cobra.Command{
		Use:   "replay",
		Short: "Print the log, or a part of it",
		Long: `Print the events of the log, oldest first, and stop at the end of the log. Replay holds one
batch in memory at a time. It prints the number of events to standard error, and there also
says which events are gone. If standard error is a terminal and standard output is not, it
shows its progress.

The format jsonl has one JSON envelope a line, as stored. The format table has one line for
each event, for people. The format cloudevents has one CloudEvents 1.0 object a line.

Several filters must all match. A coordinator applies --types, --task and --instance itself.
The others, and all of them with Redis, read each event of the span. For one task or one
instance, 'claudebench history' is faster.

` + position.Help,
		Example: `  claudebench replay > log.jsonl
  claudebench replay --from 2026-11-22T00:00:00Z --to 2026-11-22T01:00:00Z --types 'task.*'
  claudebench replay --types task.completed | jq -r .payload.workerId | sort | uniq -c
  claudebench replay --task t-42 --format table
  claudebench replay --actor ci --follow --format cloudevents
  CB_TOKEN=$(cat auditor.token) claudebench replay --url https://cb.example`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if err := checkTypes(o.Span.Types); err != nil {
				return usageError(err)
			}
			from, err := position.Parse(first)
			if err != nil {
				return usageError(fmt.Errorf("--from %w", err))
			}
			to, err := position.Parse(last)
			if err != nil {
				return usageError(fmt.Errorf("--to %w", err))
			}
			if !slices.Contains([]string{jsonLinesFormat, tableFormat, cloudEventsFormat}, format) {
				return usageError(fmt.Errorf("--format %s: the formats are %s, %s and %s", format, jsonLinesFormat, tableFormat, cloudEventsFormat))
			}
			in, err := openSource(cmd, cfg, at)
			if err != nil {
				return err
			}
			defer in.close()
			o.Log = in.log
			if o.Render, err = renderer(cmd.Context(), format, in, cfg.Namespace); err != nil {
				return in.explained(err, cfg, at)
			}
			o.Span.From, o.Span.To, err = position.Span(cmd.Context(), in, from, to)
			if errors.Is(err, position.ErrAfter) {
				o.Span.From, err = in.log.Last(cmd.Context())
				o.Span.From.Seq++ // only new events are behind the end of the log
			}
			if err != nil {
				return in.explained(err, cfg, at)
			}
			return in.explained(replay(cmd, o), cfg, at)
		},
	}
	f := cmd.Flags()
	f.StringVar(&first, "from", "", "first event: a position in the log (default: the beginning of the log)")
	f.StringVar(&last, "to", "", "last event: a position in the log (default: the end of the log)")
	f.StringVar(&o.Span.Types, "types", "", "event types to print, such as task.*,instance.failed (default: all)")
	f.StringVar(&o.Span.Task, "task", "", "only events that concern the task with this ID")
	f.StringVar(&o.Span.Instance, "instance", "", "only events that concern the instance with this ID")
	f.StringVar(&o.Actor, "actor", "", "only events of this actor; the name of a token stands for all its instances")
	f.StringVar(&o.Cause, "cause", "", "only events that this request caused")
	f.StringVar(&format, "format", format, "jsonl, table or cloudevents")
	f.BoolVar(&o.Span.Follow, "follow", false, "go on with new events until Ctrl-C")
	cmd.MarkFlagsMutuallyExclusive("follow", "to")
	bindSource(cmd, cfg, at)
	cfg.BindLog(f)
	return cmd
}

// renderer returns what prints an event in a format.
func renderer(ctx context.Context, format string, in source, namespace string) (func([]byte, *events.Entry) []byte, error) {
	switch format {
	case tableFormat:
		return func(text []byte, e *events.Entry) []byte {
			line := strings.ReplaceAll(eventLine(&e.Envelope, "2006-01-02 15:04:05.000"), "\n", `\n`)
			return append(append(text, terminal.Escape(line)...), '\n')
		}, nil
	case cloudEventsFormat:
		if in.client != nil {
			info, err := in.client.Info(ctx)
			if err != nil {
				return nil, fmt.Errorf("ask the coordinator for its namespace: %w", err)
			}
			namespace = info.Namespace
		}
		source := cloudevents.Source(namespace)
		return func(text []byte, e *events.Entry) []byte {
			return append(append(text, cloudevents.Encode(e, source)...), '\n')
		}, nil
	}
	return func(text []byte, e *events.Entry) []byte {
		return append(append(text, jsontext.OneLine(e.Raw)...), '\n')
	}, nil
}

// replay prints the events, and then how many they were.
func replay(cmd *cobra.Command, o audit.ReplayOptions) error {
	ctx, status := cmd.Context(), cmd.ErrOrStderr()
	bar, err := progress(ctx, o, status, cmd.OutOrStdout())
	if err != nil {
		return err
	}
	o.Progress = bar.show
	o.OnGap = func(gap events.Gap) {
		bar.erase()
		bar.skip(gap)
		fmt.Fprintf(status, "events %d to %d are gone: %s\n", gap.From, gap.To, gap.Reason)
	}
	done, err := audit.Replay(ctx, terminal.Writer(cmd.OutOrStdout()), o)
	bar.erase()
	if o.Span.Follow && ctx.Err() != nil && errors.Is(err, ctx.Err()) {
		err = nil // Ctrl-C ends it normally
	}
	if err != nil {
		return err
	}
	text := fmt.Sprintf("%d events", done.Printed)
	if done.Other > 0 {
		text += fmt.Sprintf(", %d others", done.Other)
	}
	if done.Foreign > 0 {
		text += fmt.Sprintf(", %d entries that are not events", done.Foreign)
	}
	_, err = fmt.Fprintln(status, text)
	return err
}

// replayProgress shows how far a replay is.
type replayProgress struct {
	status, out io.Writer
	from, last  int64 // seqs; from is 0 until it is known
	bar         *terminal.Bar
}

// progress prepares the bar of a replay. It asks for the end of the log only if there will be one.
func progress(ctx context.Context, o audit.ReplayOptions, status, out io.Writer) (*replayProgress, error) {
	p := &replayProgress{status: status, out: out}
	if o.Span.Follow || !terminal.Is(status) || terminal.Is(out) {
		return p, nil
	}
	last, err := o.Log.Last(ctx)
	if err != nil {
		return nil, err
	}
	if p.last = last.Seq; !o.Span.To.IsZero() && o.Span.To.Seq < p.last {
		p.last = o.Span.To.Seq
	}
	if p.from = o.Span.From.Seq; o.Span.From.IsZero() {
		p.from = 1
	}
	return p, nil
}

// show shows a position.
func (p *replayProgress) show(at events.ID) {
	if p.last == 0 {
		return
	}
	if p.bar == nil {
		if p.from == 0 {
			p.from = at.Seq // a time is given; this is about its first event
		}
		p.bar = terminal.NewBar(p.status, p.out, p.last-p.from+1, "events")
	}
	p.bar.Show(at.Seq - p.from + 1)
}

// skip leaves out what is gone at the beginning.
func (p *replayProgress) skip(gap events.Gap) {
	if p.bar == nil {
		p.from = max(p.from, gap.To+1)
	}
}

func (p *replayProgress) erase() { p.bar.Erase() }

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
