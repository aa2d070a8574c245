package mcp

import (
	"context"

	sdk "github.com/modelcontextprotocol/go-sdk/mcp"

	"github.com/claudebench/claudebench/internal/httpapi"
)

// traceKey is the context key of the traceparent that a message carries, a string.
type traceKey struct{}

// traced is middleware. A valid traceparent in `_meta` of a message becomes the trace of its
// commands, and takes precedence over the header of the HTTP request. The header belongs to the
// request, which may be a proxy's or may hold several messages, and `_meta` to the message (SEP-414
// of MCP, and OpenTelemetry's semantic conventions for MCP). As with the header, an invalid one
// counts as none, and tracestate and baggage are not read: the envelope of an event has no members
// for them.
func traced(next sdk.MethodHandler) sdk.MethodHandler {
	return func(ctx context.Context, method string, r sdk.Request) (sdk.Result, error) {
		if given, ok := meta(r)["traceparent"].(string); ok {
			if trace := httpapi.Traceparent(given); trace != "" {
				ctx = context.WithValue(ctx, traceKey{}, trace)
			}
		}
		return next(ctx, method, r)
	}
}

// meta returns the `_meta` of a message that may run a command. The params of a message without any
// are a nil pointer, on which GetMeta panics.
func meta(r sdk.Request) sdk.Meta {
	switch p := r.GetParams().(type) {
	case *sdk.CallToolParamsRaw:
		if p != nil {
			return p.Meta
		}
	case *sdk.ReadResourceParams:
		if p != nil {
			return p.Meta
		}
	}
	return nil
}
