package commands

import (
	"context"
	"encoding/json"
	"strconv"

	"go.opentelemetry.io/otel/codes"
	"go.opentelemetry.io/otel/propagation"
	semconv "go.opentelemetry.io/otel/semconv/v1.43.0"
	"go.opentelemetry.io/otel/trace"

	"github.com/claudebench/claudebench/internal/api"
	"github.com/claudebench/claudebench/internal/command"
)

// What is in this file runs only where traces are on. Spans tell which method, which script and how
// it ended, never params, results or who called.

// tracerName is the instrumentation scope of the spans made here.
const tracerName = "github.com/claudebench/claudebench/commands"

// traceparent is the only member of W3C Trace Context that the envelope has a place for.
const traceparent = "traceparent"

// performTraced is perform in a span of the command, which is a child of the caller's. The events
// that the command emits name the command's span in place of the caller's, so that what follows
// from them hangs below it. A call that is not sampled is as with traces off: its events name what
// the caller sent.
func (c *Coordinator) performTraced(ctx context.Context, m *command.Method, request api.Request) (result json.RawMessage, failed *api.Error) {
	ctx = propagation.TraceContext{}.Extract(ctx, propagation.MapCarrier{traceparent: request.Trace})
	ctx, span := c.tracer.Start(ctx, m.Name, trace.WithSpanKind(trace.SpanKindServer), trace.WithTimestamp(request.Received),
		trace.WithAttributes(semconv.RPCSystemNameJSONRPC, semconv.RPCMethod(m.Name)))
	failed = api.Internal("") // what a panic leaves behind
	defer func() {
		tellCommand(span, failed)
		span.End() // deferred by itself it would put the text of a panic into the span
	}()
	if span.SpanContext().IsSampled() {
		carrier := propagation.MapCarrier{}
		propagation.TraceContext{}.Inject(ctx, carrier)
		request.Trace = carrier[traceparent]
	}
	return c.perform(ctx, m, request)
}

// tellCommand says how a command ended. A caller's mistake is told by its code; the span failed
// only where we or the infrastructure did.
func tellCommand(span trace.Span, failed *api.Error) {
	if failed == nil {
		return
	}
	outcome := failed.Outcome()
	span.SetAttributes(semconv.RPCResponseStatusCode(strconv.Itoa(failed.Code)), semconv.ErrorTypeKey.String(outcome.String()))
	switch outcome {
	case api.OutcomeCircuitOpen, api.OutcomeUnavailable, api.OutcomeLost, api.OutcomeFault:
		what, ok := failed.Data.(string)
		if !ok {
			what = failed.Message
		}
		span.SetStatus(codes.Error, what)
	default:
	}
}
