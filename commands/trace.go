package commands

import (
	"context"
	"encoding/json"
	"strconv"
	"time"

	"go.opentelemetry.io/otel/codes"
	"go.opentelemetry.io/otel/propagation"
	semconv "go.opentelemetry.io/otel/semconv/v1.43.0"
	"go.opentelemetry.io/otel/trace"

	"github.com/claudebench/claudebench/internal/api"
	"github.com/claudebench/claudebench/internal/command"
)

// The code in this file runs only if traces are enabled. Spans contain the method, the script and
// the outcome. They contain no params, results or callers.

// tracerName is the instrumentation scope of the spans created here.
const tracerName = "github.com/claudebench/claudebench/commands"

// traceparent is the only member of W3C Trace Context that the envelope has a field for.
const traceparent = "traceparent"

// performTraced runs perform in a span, which is a child of the caller's span. The events of the
// command refer to the command's span instead of the caller's, so that the spans of later work are
// children of the command's. If the call is not sampled, its events keep the trace that the caller
// sent, as if traces were disabled.
func (c *Coordinator) performTraced(ctx context.Context, m *command.Method, request api.Request) (result json.RawMessage, waited time.Duration, failed *api.Error) {
	ctx = propagation.TraceContext{}.Extract(ctx, propagation.MapCarrier{traceparent: request.Trace})
	ctx, span := c.tracer.Start(ctx, m.Name, trace.WithSpanKind(trace.SpanKindServer), trace.WithTimestamp(request.Received),
		trace.WithAttributes(semconv.RPCSystemNameJSONRPC, semconv.RPCMethod(m.Name)))
	failed = api.Internal("") // the outcome if perform panics
	defer func() {
		tellCommand(span, failed)
		span.End() // a deferred span.End would record the text of a panic in the span
	}()
	if span.SpanContext().IsSampled() {
		carrier := propagation.MapCarrier{}
		propagation.TraceContext{}.Inject(ctx, carrier)
		request.Trace = carrier[traceparent]
	}
	return c.perform(ctx, m, request)
}

// tellCommand sets the outcome of a command on its span. The status of the span is an error only if
// the coordinator or its infrastructure failed, not if the caller made a mistake.
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
