package projections

import (
	"context"
	"time"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/propagation"
	"go.opentelemetry.io/otel/trace"

	"github.com/claudebench/claudebench/events"
)

// tracerName is the instrumentation scope of this package's spans.
const tracerName = "github.com/claudebench/claudebench/projections"

// tracedFor is the maximum age of an event whose application gets a span. Otherwise a projection
// that is rebuilt, or that continues after a long outage, would flood the collector with useless
// spans, and current ones would be dropped.
const tracedFor = time.Minute

// tracer makes a span for each event that a projection has applied.
type tracer struct {
	trace.Tracer
	projection string
}

// newTracer returns nil if traces are off.
func newTracer(provider trace.TracerProvider, projection string) *tracer {
	if provider == nil {
		return nil
	}
	return &tracer{provider.Tracer(tracerName), projection}
}

// applied is called after the transaction of a batch that started at began is committed. Each event
// of the batch that belongs to a trace gets a span, whose parent is the one in the event's
// envelope. The batch is one transaction, so the spans of its events all last as long as it did.
func (t *tracer) applied(batch events.Batch, began time.Time) {
	if t == nil {
		return
	}
	ended := time.Now()
	for i := range batch.Entries {
		e := &batch.Entries[i].Envelope
		if e.Trace == nil || began.Sub(e.Time()) > tracedFor {
			continue
		}
		parent := propagation.TraceContext{}.Extract(context.Background(), propagation.MapCarrier{"traceparent": *e.Trace})
		if !trace.SpanContextFromContext(parent).IsValid() {
			continue // a foreign event whose trace is not a traceparent
		}
		_, span := t.Start(parent, "apply "+t.projection, trace.WithSpanKind(trace.SpanKindConsumer), trace.WithTimestamp(began),
			trace.WithAttributes(
				attribute.String("claudebench.projection", t.projection), attribute.String("claudebench.event.type", string(e.Type)),
				attribute.String("claudebench.event.id", e.ID.String()), attribute.Int64("claudebench.event.seq", e.Seq),
			))
		span.End(trace.WithTimestamp(ended))
	}
}
