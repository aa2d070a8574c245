package events_test

import (
	"context"
	"errors"
	"log/slog"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/claudebench/claudebench/events"
	"github.com/claudebench/claudebench/internal/logtest"
)

// told is what a subscriber's handlers got, in order: gaps, and the seqs of events.
type told struct {
	t     *testing.T
	calls chan any
	fails int
}

// config returns a configuration whose OnGap fails the first time.
func (g *told) config(logger *slog.Logger) events.SubscriberConfig {
	return events.SubscriberConfig{
		ReaderConfig: events.ReaderConfig{Logger: logger}, NackDelay: time.Millisecond,
		OnGap: func(_ context.Context, gap events.Gap) error {
			if g.fails++; g.fails == 1 {
				return errors.New("not now")
			}
			g.calls <- gap
			return nil
		},
	}
}

func (g *told) follow(sub *events.Subscriber) {
	g.t.Helper()
	messages, err := sub.Subscribe(context.Background(), events.All)
	if err != nil {
		g.t.Fatal(err)
	}
	done := make(chan struct{})
	go func() {
		defer close(done)
		for m := range messages {
			g.calls <- m.Metadata.Get(events.MetadataSeq)
			m.Ack()
		}
	}()
	g.t.Cleanup(func() {
		if err := sub.Close(); err != nil {
			g.t.Error(err)
		}
		<-done
	})
}

func (g *told) want(want ...any) {
	g.t.Helper()
	var got []any
	for range want {
		select {
		case call := <-g.calls:
			got = append(got, call)
		case <-time.After(20 * time.Second):
			g.t.Fatalf("only got %v", got)
		}
	}
	if diff := cmp.Diff(want, got); diff != "" {
		g.t.Error(diff)
	}
}

// A subscriber reports what is gone before the event behind it, until its handler has taken it.
func TestSubscriberReportsGaps(t *testing.T) {
	t.Parallel()
	log := logtest.New(t)
	ids := log.Add("task.created", `{}`, 5)
	log.Trim(ids[3])
	g := &told{t: t, calls: make(chan any, 100)}
	config := g.config(slog.New(slog.DiscardHandler))
	config.Namespace, config.Block, config.Start = log.Namespace, 20*time.Millisecond, ids[0]
	sub, err := events.NewSubscriber(log.Client, config)
	if err != nil {
		t.Fatal(err)
	}
	g.follow(sub)
	g.want(events.Gap{From: 2, To: 3, Reason: events.GapTrimmed}, "4", "5")

	// One that begins with the log has missed nothing.
	config.Start = events.ID{}
	if sub, err = events.NewSubscriber(log.Client, config); err != nil {
		t.Fatal(err)
	}
	first := &told{t: t, calls: make(chan any, 100)}
	first.follow(sub)
	first.want("4", "5")

	config.Start = ids[3]
	log.Flush()
	if sub, err = events.NewSubscriber(log.Client, config); err != nil {
		t.Fatal(err)
	}
	late := &told{t: t, calls: g.calls}
	g.want("6")
	late.follow(sub)
	late.want(events.Gap{From: 5, To: 5, Reason: events.GapFlushed}, "6")
}

func TestHTTPSubscriberReportsGaps(t *testing.T) {
	t.Parallel()
	gap := func(id, data string) string { return "id: " + id + "\nevent: gap\ndata: " + data + "\n\n" }
	s := script(t, begin+gap("1000-7", `{"from":6,"to":7,"reason":"flushed"}`)+gap("1000-8", `{"from":8,"to":8,"reason":"malformed"}`)+sent(9, "task.created")+
		gap("1000-10", `{"from":10,"to":10,"reason":"trimmed"}`)+sent(11, "task.created"))
	g := &told{t: t, calls: make(chan any, 100)}
	config := g.config(slog.New(slog.DiscardHandler))
	config.Start = id(5)
	sub, err := events.NewHTTPSubscriber(s.URL, "", events.HTTPSubscriberConfig{SubscriberConfig: config})
	if err != nil {
		t.Fatal(err)
	}
	g.follow(sub)
	g.want(events.Gap{From: 6, To: 7, Reason: events.GapFlushed}, events.Gap{From: 8, To: 8, Reason: events.GapMalformed}, "9",
		events.Gap{From: 10, To: 10, Reason: events.GapTrimmed}, "11")
}
