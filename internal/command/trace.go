package command

import (
	"context"
	"errors"

	"go.opentelemetry.io/otel/codes"
	semconv "go.opentelemetry.io/otel/semconv/v1.43.0"
	"go.opentelemetry.io/otel/trace"

	"github.com/claudebench/claudebench/lua"
)

// tracedScripts runs each script in a span of its own below the command's. Scripts that share a
// round trip have one each. The monitor's scripts, which belong to no command, have none. Spans
// name the script and how it ended; they contain no user data.
type tracedScripts struct {
	scripts lua.Scripts
	tracer  trace.Tracer
}

// TraceScripts returns scripts that make spans.
func TraceScripts(scripts lua.Scripts, tracer trace.Tracer) lua.Scripts {
	return tracedScripts{scripts, tracer}
}

// Run runs a script.
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

// tellScript says how a script ended. What a script refuses is told by its code, without the
// detail, which names what users named.
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
