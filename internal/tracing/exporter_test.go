package tracing

import (
	"bytes"
	"context"
	"errors"
	"log/slog"
	"strings"
	"testing"

	sdk "go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/sdk/trace/tracetest"
)

// failing is an exporter that fails a given number of times.
type failing struct {
	sdk.SpanExporter
	times int
}

func (f *failing) ExportSpans(context.Context, []sdk.ReadOnlySpan) error {
	if f.times--; f.times >= 0 {
		return errors.New("nobody listens")
	}
	return nil
}

// An outage is logged once. Its end is logged with the number of lost spans.
func TestAnOutageIsToldOnce(t *testing.T) {
	t.Parallel()
	var log bytes.Buffer
	e := &exporter{SpanExporter: &failing{times: 100}, log: slog.New(slog.NewTextHandler(&log, nil))}
	spans := tracetest.SpanStubs{{}, {}}.Snapshots()
	for range 200 {
		if err := e.ExportSpans(t.Context(), spans); err != nil {
			t.Fatal(err)
		}
	}
	lines := strings.Split(strings.TrimSpace(log.String()), "\n")
	if len(lines) != 2 || !strings.Contains(lines[0], "nobody listens") || !strings.Contains(lines[1], "spans_lost=200") {
		t.Errorf("the log of one outage:\n%s", log.String())
	}
}
