package rpc_test

import (
	"bytes"
	"context"
	"encoding/json"
	"net/http"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/claudebench/claudebench/internal/api"
	"github.com/claudebench/claudebench/internal/jsontext"
	"github.com/claudebench/claudebench/internal/rpc"
)

// answerOverhead is the size of a response apart from what it repeats of its request: an error with
// its sentence.
const answerOverhead = 400

// FuzzHandler posts bodies. Every body gets JSON-RPC responses, or none if none is wanted. Each
// response has the id of its request, in the order of the requests. No body causes a response out
// of proportion to its size.
func FuzzHandler(f *testing.F) {
	for _, seed := range []string{
		good, "[" + good + "," + good + "]", `{"jsonrpc":"2.0","method":"fails","id":"\u0000\ud800"}`, `{"jsonrpc":"2.0","method":"panics","id":1e999}`,
		`[{"jsonrpc":"2.0","method":"m"},{"jsonrpc":"2.0","method":"unknown","params":[1],"id":-0}]`, `[1,"",null,[],{}]`, `[]`, ``, `{`, "\xff",
		`{"jsonrpc":"2.0","method":"m","id":{}}`, `{"jsonrpc":"2.0","method":"m","id":1,"id":2}`, `{"jsonrpc":"2.0","method":"m","params":null,"id":null}`,
		`[` + strings.Repeat(`1,`, rpc.MaxCalls) + `1]`, `[` + strings.Repeat(`1,`, rpc.MaxCalls-1) + `1]`,
		strings.Repeat("[", jsontext.MaxDepth) + strings.Repeat("]", jsontext.MaxDepth), strings.Repeat("[", jsontext.MaxDepth+1),
		`{"jsonrpc":"2.0","method":"` + strings.Repeat("x", 4000) + `","params":[],"id":"` + strings.Repeat("y", 4000) + `"}`,
	} {
		f.Add([]byte(seed))
	}
	d := dispatch(func(_ context.Context, req api.Request) (json.RawMessage, *api.Error) {
		if !json.Valid(req.Params) || !utf8.Valid(req.Params) || !utf8.ValidString(req.Method) || !utf8.ValidString(req.Cause) {
			panic("handed on what is no JSON")
		}
		switch req.Method {
		case "fails":
			return nil, api.Internal("")
		case "panics":
			panic("the inside")
		}
		return req.Params, nil
	})
	h := rpc.NewHandler(d, rpc.Options{Log: quiet, Concurrency: 2, Known: func(method string) bool { return method != "unknown" }})
	f.Fuzz(func(t *testing.T, body []byte) {
		w := post(h, string(body))
		answer := w.Body.Bytes()
		ids, calls := asked(body)
		if w.Code == http.StatusNoContent && len(answer) == 0 && len(ids) == 0 && calls > 0 {
			return
		}
		if w.Code != http.StatusOK || !json.Valid(answer) {
			t.Fatalf("%q: status %d: %s", body, w.Code, answer)
		}
		if len(answer) > 2*len(body)+answerOverhead*max(calls, 1) {
			t.Fatalf("%d bytes with %d calls made an answer of %d", len(body), calls, len(answer))
		}
		got := []reply{{}}
		if answer[0] == '[' {
			got = nil
			if err := json.Unmarshal(answer, &got); err != nil {
				t.Fatalf("%s: %v", answer, err)
			}
		} else if err := json.Unmarshal(answer, &got[0]); err != nil {
			t.Fatalf("%s: %v", answer, err)
		}
		for _, a := range got {
			a.hold(t, body)
			// Responses are in the order of the requests and have their ids. An invalid request may
			// have no readable id.
			for len(ids) > 0 && string(a.ID) != "null" {
				next := ids[0]
				if ids = ids[1:]; next == string(a.ID) {
					break
				} else if len(ids) == 0 {
					t.Fatalf("the answer %s is to no request that was not answered: %s", a.ID, body)
				}
			}
		}
		if whole := len(got) == 1 && got[0].Error != nil && string(got[0].ID) == "null"; !whole && len(got) < answerable(body) {
			t.Fatalf("%d answers to %q: %s", len(got), body, answer)
		}
	})
}

// reply is one JSON-RPC response.
type reply struct {
	Version string          `json:"jsonrpc"`
	Result  json.RawMessage `json:"result"`
	Error   *struct {
		Code    int    `json:"code"`
		Message string `json:"message"`
	} `json:"error"`
	ID json.RawMessage `json:"id"`
}

func (a *reply) hold(t *testing.T, body []byte) {
	if a.Version != "2.0" || (a.Result == nil) == (a.Error == nil) || a.Error != nil && (a.Error.Code > -32000 || a.Error.Message == "") {
		t.Fatalf("no answer of JSON-RPC to %q: %+v", body, a)
	}
}

// asked returns the ids of the requests in a body, as encoding/json parses them, and the number of
// requests.
func asked(body []byte) (ids []string, calls int) {
	values := []json.RawMessage{body}
	if trimmed := bytes.TrimSpace(body); len(trimmed) > 0 && trimmed[0] == '[' {
		values = nil
		_ = json.Unmarshal(body, &values) // what is not JSON is rejected as a whole
	}
	for _, value := range values {
		var request map[string]json.RawMessage
		// What is not an object gets a response with the id null.
		_ = json.Unmarshal(value, &request)
		if id, has := request["id"]; has {
			var compact bytes.Buffer
			_ = json.Compact(&compact, id)
			ids = append(ids, compact.String())
		}
	}
	return ids, len(values)
}

// answerable returns the minimum number of responses to a body: one for each request with an id.
func answerable(body []byte) int {
	ids, _ := asked(body)
	return len(ids)
}
