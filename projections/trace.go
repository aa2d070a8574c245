package projections

import (
	"context"
	"time"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/propagation"
	"go.opentelemetry.io/otel/trace"

	"github.com/claudebench/claudebench/events"
)

// tracerName is the instrumentation scope of the spans made here.
const tracerName = "github.com/claudebench/claudebench/projections"

// tracedFor is how long after an event its application is worth a span. A projection that is made
// again from the log, or comes back after a long outage, would otherwise flood the collector with
// spans that nobody waits for, and make those of now be dropped.
const tracedFor = time.Minute

// tracer makes a span for each event that a projection has applied.
type tracer struct {
	trace.Tracer
	projection string
}

// newTracer returns nil where traces are off.
func newTracer(provider trace.TracerProvider, projection string) *tracer {
	if provider == nil {
		return nil
	}
	return &tracer{provider.Tracer(tracerName), projection}
}

// applied is called when the transaction of a batch that was begun then is committed: the events in
// it that belong to a trace get a span, below the one that their envelopes name. The batch is one
// transaction, so the spans of its events all last as long as it did.
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
			continue // somebody else's event, with something else there
		}
		_, span := t.Start(parent, "apply "+t.projection, trace.WithSpanKind(trace.SpanKindConsumer), trace.WithTimestamp(began),
			trace.WithAttributes(
				attribute.String("claudebench.projection", t.projection), attribute.String("claudebench.event.type", string(e.Type)),
				attribute.String("claudebench.event.id", e.ID.String()), attribute.Int64("claudebench.event.seq", e.Seq),
			))
		span.End(trace.WithTimestamp(ended))
	}
}
