package api

import (
	"encoding/json"
	"time"
)

// Request is one call of one method, independent of the transport.
type Request struct {
	Method string
	// Params are the params as received, but without white space between tokens: what
	// jsontext.Compact returns. Empty, null and [] mean {}. The command may keep their memory.
	Params json.RawMessage
	// Caller is the name of the caller's token. It is "" where authentication is disabled.
	Caller string
	// Addr is the caller's network address without the port. The rate limit uses it for a call that
	// names no instance or token.
	Addr string
	// Cause is the request's correlationId, else its id; it becomes the events' cause.
	Cause string
	// Trace is a W3C traceparent, or "" if the request had none.
	Trace string
	// MCP reports whether the call came over MCP. Metrics also count such calls separately.
	MCP bool
	// Batched is set if the call is one of several in a JSON-RPC batch.
	Batched bool
	// Decided is what the policy decided about the hook of a hook.record, nil if it has no opinion.
	// Callers cannot set it.
	Decided *HookDecision
	// Received is when the request arrived; the method's timeout starts then. Zero means now.
	Received time.Time
}
