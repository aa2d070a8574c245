package span_test

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math"
	"math/rand/v2"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/claudebench/claudebench/events"
	"github.com/claudebench/claudebench/internal/eventsource"
	"github.com/claudebench/claudebench/internal/logtest"
	"github.com/claudebench/claudebench/internal/span"
	"github.com/claudebench/claudebench/internal/stream"
)

var quiet = slog.New(slog.DiscardHandler)

// both returns a log as it is read from Redis, and from a coordinator. cut ends the connections to
// the coordinator.
func both(t *testing.T, l *logtest.Log) (redis, coordinator span.Log, cut func()) {
	t.Helper()
	redis, err := span.InRedis(l.Client, events.ReaderConfig{Namespace: l.Namespace, Logger: quiet})
	if err != nil {
		t.Fatal(err)
	}
	hub, err := stream.New(stream.Options{Client: l.Client, Namespace: l.Namespace, Logger: quiet})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(hub.Close)
	mux := http.NewServeMux()
	mux.Handle(eventsource.Path, eventsource.NewHandler(eventsource.Options{Hub: hub}))
	server := httptest.NewServer(mux)
	t.Cleanup(func() { hub.Stop(); server.Close() })
	transport := &http.Transport{}
	t.Cleanup(transport.CloseIdleConnections)
	coordinator, err = span.AtCoordinator(server.URL, &http.Client{Transport: transport}, quiet)
	if err != nil {
		t.Fatal(err)
	}
	return redis, coordinator, server.CloseClientConnections
}

// told returns what a log tells of a span: events, gaps and the error, one a line.
func told(t *testing.T, l span.Log, s span.Span) string {
	t.Helper()
	var text strings.Builder
	for batch, err := range l.Batches(t.Context(), s) {
		if err != nil {
			fmt.Fprintf(&text, "error %v\n", err)
		}
		for _, g := range batch.Gaps {
			if g.Reason == events.GapMalformed {
				for seq := g.From; seq <= g.To; seq++ {
					fmt.Fprintf(&text, "no event %d\n", seq)
				}
				continue
			}
			fmt.Fprintf(&text, "gap %+v\n", g)
		}
		for _, e := range batch.Entries {
			switch {
			case e.Err != nil:
				fmt.Fprintf(&text, "no event %d\n", e.ID.Seq)
			case s.Task != "" && e.Envelope.Subjects().Task != s.Task: // as the caller selects
			default:
				fmt.Fprintf(&text, "%s %s\n", e.ID, e.Raw)
			}
		}
	}
	return text.String()
}

// Redis and a coordinator tell the same of every span of every log.
func TestSpansAreTheSame(t *testing.T) {
	t.Parallel()
	for seed := range uint64(12) {
		t.Run(fmt.Sprint(seed), func(t *testing.T) {
			t.Parallel()
			rng := rand.New(rand.NewPCG(seed, 7)) //nolint:gosec // a test's choice
			l := logtest.New(t)
			ids := l.Add(events.TypeTaskCreated, `{"id":"t-1"}`, 1+rng.IntN(1500))
			for range rng.IntN(6) {
				switch rng.IntN(6) {
				case 0:
					l.Trim(ids[rng.IntN(len(ids))])
				case 1:
					ids = []events.ID{l.Flush()}
				case 2:
					l.Raw(func(events.ID) string { return "no event" })
				case 3:
					if seed%3 == 0 {
						l.Skip(2)
					}
				}
				ids = append(ids, l.Add(events.TypeTaskCreated, fmt.Sprintf(`{"id":"t-%d"}`, rng.IntN(3)), 1+rng.IntN(400))...)
			}
			redis, coordinator, _ := both(t, l)
			place := func(end bool) events.ID {
				id := ids[rng.IntN(len(ids))]
				switch rng.IntN(4) {
				case 0:
					return events.ID{}
				case 1:
					if end {
						return events.ID{MS: id.MS, Seq: math.MaxInt64}
					}
					return events.ID{MS: id.MS}
				case 2:
					return events.ID{MS: id.MS + int64(rng.IntN(3)) - 1, Seq: id.Seq + int64(rng.IntN(3)) - 1}
				}
				return id
			}
			for range 12 {
				s := span.Span{From: place(false), To: place(true), Task: []string{"", "", "t-2"}[rng.IntN(3)]}
				want := told(t, redis, s)
				if diff := cmp.Diff(want, told(t, coordinator, s)); diff != "" {
					t.Fatalf("%+v: %s", s, diff)
				}
			}
			if whole := told(t, redis, span.Span{}); !strings.Contains(whole, "error") && strings.Count(whole, "\n") < len(l.Entries()) {
				t.Errorf("%d lines of %d events", strings.Count(whole, "\n"), len(l.Entries()))
			}
		})
	}
}

// Both name the reasons of gaps, and stop at events that nothing explains.
func TestGaps(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		damage func(*logtest.Log, []events.ID)
		want   string
	}{
		"trimmed": {func(l *logtest.Log, ids []events.ID) { l.Trim(ids[3]) }, "gap {From:1 To:3 Reason:trimmed}"},
		"flushed": {func(l *logtest.Log, _ []events.ID) { l.Flush() }, "gap {From:1 To:9 Reason:flushed}"},
		"missing": {func(l *logtest.Log, _ []events.ID) { l.Skip(4); l.Add(events.TypeTaskCreated, `{"id":"t"}`, 1) }, "expected seq 10, got 14"},
		"foreign": {func(l *logtest.Log, _ []events.ID) {
			l.Raw(func(events.ID) string { return "x" })
			l.Add(events.TypeTaskCreated, `{"id":"t"}`, 1)
		}, "no event 10"},
	} {
		l := logtest.New(t)
		c.damage(l, l.Add(events.TypeTaskCreated, `{"id":"t"}`, 9))
		redis, coordinator, _ := both(t, l)
		for where, log := range map[string]span.Log{"Redis": redis, "a coordinator": coordinator} {
			if got := told(t, log, span.Span{}); !strings.Contains(got, c.want) {
				t.Errorf("%s, from %s:\n%s", name, where, got)
			}
		}
	}
}

// A read that follows gets what comes later, and goes on when the coordinator is back.
func TestFollow(t *testing.T) {
	t.Parallel()
	l := logtest.New(t)
	first := l.Add(events.TypeTaskCreated, `{"id":"t"}`, 3)
	redis, coordinator, cut := both(t, l)
	for _, log := range []span.Log{redis, coordinator} {
		ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
		var seqs []int64
		next := first[1].Seq
		for batch, err := range log.Batches(ctx, span.Span{From: first[1], Follow: true}) {
			if err != nil {
				if !errors.Is(err, context.Canceled) {
					t.Error(err)
				}
				break
			}
			for _, e := range batch.Entries {
				if e.ID.Seq != next {
					t.Errorf("got %d, want %d", e.ID.Seq, next)
				}
				next++
				seqs = append(seqs, e.ID.Seq)
			}
			switch {
			case len(batch.Entries) == 0:
			case len(seqs) >= 8:
				cancel()
			default:
				cut()
				l.Add(events.TypeTaskCreated, `{"id":"t"}`, 3)
			}
		}
		cancel()
		if len(seqs) < 8 {
			t.Errorf("followed %v", seqs)
		}
	}
}

// A coordinator that is not there, and one that refuses, fail at once; so do events that a coordinator
// no longer has in the middle of a read.
func TestFailures(t *testing.T) {
	t.Parallel()
	var asked atomic.Int64
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		asked.Add(1)
		w.WriteHeader(http.StatusForbidden)
	}))
	t.Cleanup(server.Close)
	for _, url := range []string{server.URL, "http://127.0.0.1:1"} {
		log, err := span.AtCoordinator(url, http.DefaultClient, quiet)
		if err != nil {
			t.Fatal(err)
		}
		if got := told(t, log, span.Span{}); strings.Count(got, "error") != 1 {
			t.Errorf("%s: %q", url, got)
		}
		if got := told(t, log, span.Span{Follow: true}); strings.Count(got, "error") != 1 {
			t.Errorf("%s: %q", url, got)
		}
	}
	if asked.Load() != 2 {
		t.Errorf("%d requests", asked.Load())
	}
	if _, err := span.AtCoordinator("redis://x", http.DefaultClient, quiet); err == nil {
		t.Error("redis://x is a coordinator")
	}
}
