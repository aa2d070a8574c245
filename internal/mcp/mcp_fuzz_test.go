package mcp_test

import (
	"context"
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/claudebench/claudebench/commands"
	"github.com/claudebench/claudebench/internal/api"
)

// patience is the timeout of one message, which normally takes far less than a millisecond.
const patience = 10 * time.Second

// FuzzHandler posts messages. Each gets its response at once, in JSON if it has a body. Hidden
// methods are never called.
func FuzzHandler(f *testing.F) {
	hidden := map[string]bool{}
	methods, err := commands.Methods()
	if err != nil {
		f.Fatal(err)
	}
	for _, m := range methods {
		hidden[m.Name] = m.Hidden
	}
	for _, seed := range []string{
		`{"jsonrpc":"2.0","id":1,"method":"initialize","params":{"protocolVersion":"2025-11-25","capabilities":{},"clientInfo":{"name":"x","version":"1"}}}`,
		`{"jsonrpc":"2.0","id":1,"method":"tools/list"}`, `{"jsonrpc":"2.0","id":1,"method":"tools/list","params":{"cursor":"x"}}`, `{"jsonrpc":"2.0","id":1,"method":"ping"}`,
		`{"jsonrpc":"2.0","id":"a","method":"tools/call","params":{"name":"task_create","arguments":{"text":"x"}}}`,
		`{"jsonrpc":"2.0","id":2,"method":"tools/call","params":{"name":"task_create","arguments":[1e999]}}`,
		`{"jsonrpc":"2.0","id":2,"method":"tools/call","params":{"name":"task_update","arguments":{"id":null,"updates":"{\"metadata\":\"{\\\"a\\\":1}\"}"}}}`,
		`{"jsonrpc":"2.0","id":2,"method":"tools/call","params":{"name":"system_quorum_vote","arguments":{"value":"[[1e9,\"\\ud800\"]","totalInstances":null}}}`,
		`{"jsonrpc":"2.0","id":2,"method":"tools/call","params":{"name":"task_create","arguments":null}}`,
		`{"jsonrpc":"2.0","id":2,"method":"tools/call","params":{"name":"system_flush","arguments":{"confirm":"FLUSH_ALL_DATA"}}}`,
		`{"jsonrpc":"2.0","id":2,"method":"tools/call","params":{"name":"\u0000"}}`, `{"jsonrpc":"2.0","id":2,"method":"tools/call"}`,
		`{"jsonrpc":"2.0","id":3,"method":"resources/list"}`, `{"jsonrpc":"2.0","id":3,"method":"resources/templates/list"}`,
		`{"jsonrpc":"2.0","id":3,"method":"resources/read","params":{"uri":"claudebench://state"}}`,
		`{"jsonrpc":"2.0","id":3,"method":"resources/read","params":{"uri":"claudebench://task/t-1"}}`,
		`{"jsonrpc":"2.0","id":3,"method":"resources/read","params":{"uri":"\u0000:{"}}`,
		`{"jsonrpc":"2.0","id":3,"method":"resources/subscribe","params":{"uri":"claudebench://state"}}`,
		`{"jsonrpc":"2.0","method":"notifications/initialized"}`, `{"jsonrpc":"2.0","method":"notifications/cancelled","params":{"requestId":1}}`,
		`{"jsonrpc":"2.0","id":1,"result":{}}`, `{"jsonrpc":"2.0","id":1,"error":{"code":1,"message":"x"}}`,
		`{"jsonrpc":"2.0","id":null,"method":"ping"}`, `{"jsonrpc":"2.0","id":{},"method":"ping"}`, `{"jsonrpc":"1.0","id":1,"method":"ping"}`,
		`[{"jsonrpc":"2.0","id":1,"method":"ping"},{"jsonrpc":"2.0","id":1,"method":"ping"}]`, `[]`, `[1]`, `null`, ``, `{`, `{}`, "\xff",
		`{"jsonrpc":"2.0","id":1,"method":"logging/setLevel","params":{"level":"x"}}`, `{"jsonrpc":"2.0","id":1,"method":"completion/complete","params":{}}`,
		`{"jsonrpc":"2.0","id":1,"method":"prompts/get","params":{"name":1}}`, `{"jsonrpc":"2.0","id":1,"Method":"ping"}`,
	} {
		f.Add("2025-11-25", []byte(seed))
		f.Add("2025-03-26", []byte(seed))
	}
	f.Add("", []byte(`{"jsonrpc":"2.0","id":1,"method":"ping"}`))
	var called string
	h := handler(f, func(_ context.Context, r api.Request) (json.RawMessage, *api.Error) {
		called = r.Method
		if strings.Contains(string(r.Params), "fail") {
			return nil, api.Internal("")
		}
		return json.RawMessage(`{"recentEvents":[]}`), nil
	}, nil, nil)
	f.Fuzz(func(t *testing.T, version string, body []byte) {
		called = ""
		ctx, cancel := context.WithTimeout(t.Context(), patience)
		defer cancel()
		r := httptest.NewRequestWithContext(ctx, http.MethodPost, "/mcp", strings.NewReader(string(body)))
		r.Header = http.Header{"Content-Type": {"application/json"}, "Accept": {"application/json, text/event-stream"}, "Mcp-Protocol-Version": {version}}
		w := httptest.NewRecorder()
		h.ServeHTTP(w, r)
		if ctx.Err() != nil {
			t.Fatalf("%q: not answered within %s", body, patience)
		}
		if w.Code == http.StatusInternalServerError {
			t.Fatalf("%q: status %d: %s", body, w.Code, w.Body)
		}
		if w.Body.Len() > 0 && w.Header().Get("Content-Type") == "application/json" && !json.Valid(w.Body.Bytes()) {
			t.Fatalf("%q: status %d: %s", body, w.Code, w.Body)
		}
		if w.Code == http.StatusOK && w.Body.Len() == 0 {
			t.Fatalf("%q: answered nothing", body)
		}
		if hidden[called] {
			t.Fatalf("%q called %s", body, called)
		}
	})
}
