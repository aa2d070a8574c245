package api

import (
	"encoding/json"
	"time"
)

// Request is one call of one method, whatever transport it came by.
type Request struct {
	Method string
	// Params is the params object as it came, compacted; empty means {}.
	Params json.RawMessage
	// Caller is the name of the caller's token, "" where no tokens are in use.
	Caller string
	// Addr is the caller's network address without the port: who is limited when nobody is named.
	Addr string
	// Cause is the request's correlationId, else its id; it becomes the events' cause.
	Cause string
	// Trace is a W3C traceparent, "" when none came.
	Trace string
	// MCP reports that the call came by MCP; such calls are counted by themselves as well.
	MCP bool
	// Received is when the request came; the method's timeout counts from then. Zero is now.
	Received time.Time
}
