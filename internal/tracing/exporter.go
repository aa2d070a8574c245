package tracing

import (
	"context"
	"log/slog"
	"sync/atomic"

	sdk "go.opentelemetry.io/otel/sdk/trace"
)

// exporter handles the failures of another exporter. The SDK would pass each failure to a handler
// that the whole process shares. exporter logs once when spans begin to be lost, and once when they
// arrive again.
type exporter struct {
	sdk.SpanExporter
	log     *slog.Logger
	failing atomic.Bool
	lost    atomic.Int64 // spans lost since it began to fail
}

// ExportSpans never fails. Spans that cannot be sent are lost.
func (e *exporter) ExportSpans(ctx context.Context, spans []sdk.ReadOnlySpan) error {
	err := e.SpanExporter.ExportSpans(ctx, spans)
	switch {
	case err != nil:
		e.lost.Add(int64(len(spans)))
		if !e.failing.Swap(true) {
			e.log.WarnContext(ctx, "the collector rejects traces, and they are lost; commands continue; check OTEL_EXPORTER_OTLP_ENDPOINT and the collector",
				"error", err)
		}
	case len(spans) > 0 && e.failing.Swap(false):
		e.log.InfoContext(ctx, "the collector accepts traces again", "spans_lost", e.lost.Swap(0))
	}
	return nil
}
