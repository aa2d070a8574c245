package command

import (
	"context"
	"errors"

	"go.opentelemetry.io/otel/codes"
	semconv "go.opentelemetry.io/otel/semconv/v1.43.0"
	"go.opentelemetry.io/otel/trace"

	"github.com/claudebench/claudebench/lua"
)

// tracedScripts runs each script in its own span below the command's. Scripts that share a round
// trip have a span each. The monitor's scripts belong to no command and have no span. Spans name
// the script and its outcome. They contain no user data.
type tracedScripts struct {
	scripts lua.Scripts
	tracer  trace.Tracer
}

// TraceScripts returns scripts that make spans.
func TraceScripts(scripts lua.Scripts, tracer trace.Tracer) lua.Scripts {
	return tracedScripts{scripts, tracer}
}

// Run runs a script in a span.
func (s tracedScripts) Run(ctx context.Context, script *lua.Script, args ...any) (reply any, err error) {
	if !trace.SpanContextFromContext(ctx).IsSampled() {
		return s.scripts.Run(ctx, script, args...)
	}
	ctx, span := s.tracer.Start(ctx, script.Name, trace.WithSpanKind(trace.SpanKindClient),
		trace.WithAttributes(semconv.DBSystemNameRedis, semconv.DBOperationName("EVALSHA"), semconv.DBStoredProcedureName(script.Name)))
	defer func() {
		tellScript(span, err)
		span.End()
	}()
	return s.scripts.Run(ctx, script, args...)
}

// RunMany runs a script for many calls in one span.
func (s tracedScripts) RunMany(ctx context.Context, script *lua.Script, calls [][]any) []lua.Reply {
	if !trace.SpanContextFromContext(ctx).IsSampled() {
		return s.scripts.RunMany(ctx, script, calls)
	}
	ctx, span := s.tracer.Start(ctx, script.Name, trace.WithSpanKind(trace.SpanKindClient),
		trace.WithAttributes(semconv.DBSystemNameRedis, semconv.DBOperationName("EVALSHA"), semconv.DBStoredProcedureName(script.Name),
			semconv.DBOperationBatchSize(len(calls))))
	defer span.End()
	replies := s.scripts.RunMany(ctx, script, calls)
	for _, r := range replies {
		if r.Err != nil {
			tellScript(span, r.Err) // the first error stands for all
			break
		}
	}
	return replies
}

// tellScript sets the outcome of a script on its span. A rejection sets only its code, because its
// detail contains names that users chose.
func tellScript(span trace.Span, err error) {
	refused := (*lua.Error)(nil)
	switch {
	case err == nil:
	case errors.As(err, &refused):
		span.SetAttributes(semconv.DBResponseStatusCode(refused.Code))
	default:
		failed, _ := APIError(err)
		outcome := failed.Outcome()
		span.SetAttributes(semconv.ErrorTypeKey.String(outcome.String()))
		span.SetStatus(codes.Error, outcome.String())
	}
}
