package projections_test

import (
	"context"
	"fmt"
	"slices"
	"testing"
	"time"

	"go.opentelemetry.io/otel/attribute"
	sdk "go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/sdk/trace/tracetest"

	"github.com/claudebench/claudebench/projections"
)

// Only recent events that belong to a trace have spans, one in each projection. A log that is
// folded again makes no spans of old events, and an invalid trace in an envelope does no harm.
func TestSpansOfEventsOfNow(t *testing.T) {
	t.Parallel()
	b := newBundle(t)
	h := newHistory()
	trace := func(digit string) *string {
		return new(fmt.Sprintf("00-4bf92f3577b34da6a3ce929d0e0e473%s-00f067aa0ba902b7-01", digit))
	}
	h.now = time.Now().Add(-2 * time.Minute).UnixMilli()
	h.create("old", 50, "null")
	h.events[0].Trace = trace("1")
	h.now = time.Now().UnixMilli()
	for i, given := range []*string{trace("2"), nil, new("what somebody wrote"), trace("3")} {
		h.create(fmt.Sprint(i), 50, "null")
		h.events[len(h.events)-1].Trace = given
	}
	b.publish(t, h.events...)

	spans := tracetest.NewSpanRecorder()
	r, err := projections.NewRunner(projections.RunnerConfig{
		Client: b.client, Scripts: b.scripts, Keys: b.space, Projections: b.all, Logger: quiet,
		Traces: sdk.NewTracerProvider(sdk.WithSpanProcessor(spans)),
	})
	if err != nil {
		t.Fatal(err)
	}
	ctx, stop := context.WithCancel(context.Background())
	done := make(chan struct{})
	go func() {
		defer close(done)
		r.Run(ctx)
	}()
	for _, p := range b.all {
		status(t, r, p.Name(), func(s projections.Status) bool { return s.Applied == h.seq })
	}
	stop()
	<-done

	var got []string
	for _, span := range spans.Ended() {
		if span.Parent().SpanID().String() != "00f067aa0ba902b7" || !span.EndTime().After(span.StartTime()) {
			t.Errorf("%s is below %v, from %v to %v", span.Name(), span.Parent(), span.StartTime(), span.EndTime())
		}
		seq := attribute.NewSet(span.Attributes()...)
		n, _ := seq.Value("claudebench.event.seq")
		got = append(got, fmt.Sprintf("%s %d in %s", span.Name(), n.AsInt64(), span.SpanContext().TraceID().String()[31:]))
	}
	slices.Sort(got)
	want := []string{
		"apply events 2 in 2", "apply events 5 in 3",
		"apply metrics 2 in 2", "apply metrics 5 in 3", "apply state 2 in 2", "apply state 5 in 3", "apply tasks 2 in 2", "apply tasks 5 in 3",
	}
	if !slices.Equal(got, want) {
		t.Errorf("spans of\n%v, not of\n%v", got, want)
	}
}
