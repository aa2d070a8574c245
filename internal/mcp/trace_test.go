package mcp_test

import (
	"context"
	"encoding/json"
	"testing"

	"github.com/claudebench/claudebench/internal/api"
)

// A traceparent in _meta is the trace of the call. It takes precedence over the header, and counts
// as none if it is invalid.
func TestTraceOfAMessage(t *testing.T) {
	t.Parallel()
	const header, meta = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01", "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-00"
	var got api.Request
	h := handler(t, func(_ context.Context, r api.Request) (json.RawMessage, *api.Error) {
		got = r
		return json.RawMessage(`{}`), nil
	}, nil, nil)
	for name, tc := range map[string]struct{ meta, header, want string }{
		"none":                  {``, "", ""},
		"only in the message":   {`"traceparent":"` + meta + `"`, "", meta},
		"only in the header":    {`"progressToken":1`, header, header},
		"in both":               {`"traceparent":"` + meta + `"`, header, meta},
		"with a state":          {`"tracestate":"a=1","baggage":"b=2","traceparent":"` + meta + `"`, "", meta},
		"no trace":              {`"traceparent":"hello"`, "", ""},
		"no trace, and another": {`"traceparent":"00-00000000000000000000000000000000-b7ad6b7169203331-00"`, header, header},
		"no text":               {`"traceparent":["` + meta + `"]`, header, header},
		"null":                  {`"traceparent":null`, header, header},
	} {
		var head []string
		if tc.header != "" {
			head = []string{"Traceparent", tc.header}
		}
		ask[called](t, h, "tools/call", `{"name":"task_claim","arguments":{"workerId":"w"},"_meta":{`+tc.meta+`}}`, head...)
		if got.Trace != tc.want {
			t.Errorf("%s, a tool: %q, want %q", name, got.Trace, tc.want)
		}
		ask[json.RawMessage](t, h, "resources/read", `{"uri":"claudebench://state","_meta":{`+tc.meta+`}}`, head...)
		if got.Method != "system.get_state" || got.Trace != tc.want {
			t.Errorf("%s, a resource: %s with %q, want %q", name, got.Method, got.Trace, tc.want)
		}
	}
	for _, method := range []string{"tools/list", "prompts/list", "resources/list", "ping"} {
		if w := post(h, `{"jsonrpc":"2.0","id":1,"method":"`+method+`"}`); w.Code != 200 {
			t.Errorf("%s without params: %d %s", method, w.Code, w.Body)
		}
	}
	// Each message of an array has its own.
	var traces []string
	h = handler(t, func(_ context.Context, r api.Request) (json.RawMessage, *api.Error) {
		traces = append(traces, r.Trace)
		return json.RawMessage(`{}`), nil
	}, nil, nil)
	post(h, `[{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"task_claim","arguments":{"workerId":"w"},"_meta":{"traceparent":"`+meta+`"}}}]`,
		"Mcp-Protocol-Version", "2025-03-26", "Traceparent", header)
	if len(traces) != 1 || traces[0] != meta {
		t.Errorf("in an array: %q", traces)
	}
}
