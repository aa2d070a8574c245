package rpc_test

import (
	"context"
	"encoding/json"
	"net/http"
	"strconv"
	"testing"

	"github.com/claudebench/claudebench/internal/api"
	"github.com/claudebench/claudebench/internal/rpc"
)

// example implements the methods of the specification's examples.
func example(_ context.Context, req api.Request) (json.RawMessage, *api.Error) {
	switch req.Method {
	case "subtract":
		var p struct{ Minuend, Subtrahend int }
		if err := json.Unmarshal(req.Params, &p); err != nil {
			return nil, api.InvalidParams(err.Error())
		}
		return json.RawMessage(strconv.Itoa(p.Minuend - p.Subtrahend)), nil
	case "sum":
		return json.RawMessage(`7`), nil
	case "get_data":
		return json.RawMessage(`["hello", 5]`), nil
	case "update", "notify_hello", "notify_sum":
		return nil, nil
	}
	return nil, api.MethodNotFound(req.Method)
}

// All examples of section 7 of the specification. Where an example passes params by position to an
// existing method, the response here is -32602: the method decides which params it takes, and ours
// take named ones.
func TestExamplesOfTheSpecification(t *testing.T) {
	h := rpc.NewHandler(dispatch(example), rpc.Options{Log: quiet, Known: func(m string) bool { return m != "foobar" }})
	const (
		byPosition = `{"jsonrpc":"2.0","error":{"code":-32602,"message":"Invalid params","data":"params must be an object, not an array"},"id":`
		noObject   = `{"jsonrpc":"2.0","error":{"code":-32600,"message":"Invalid Request","data":"a request must be an object"},"id":null}`
	)
	for _, tc := range []struct{ name, body, want string }{
		{"positional parameters", `{"jsonrpc": "2.0", "method": "subtract", "params": [42, 23], "id": 1}`, byPosition + `1}`},
		{"positional parameters, other order", `{"jsonrpc": "2.0", "method": "subtract", "params": [23, 42], "id": 2}`, byPosition + `2}`},
		{"named parameters", `{"jsonrpc": "2.0", "method": "subtract", "params": {"subtrahend": 23, "minuend": 42}, "id": 3}`, `{"jsonrpc": "2.0", "result": 19, "id": 3}`},
		{"named parameters, other order", `{"jsonrpc": "2.0", "method": "subtract", "params": {"minuend": 42, "subtrahend": 23}, "id": 4}`, `{"jsonrpc": "2.0", "result": 19, "id": 4}`},
		{"notification", `{"jsonrpc": "2.0", "method": "update", "params": [1,2,3,4,5]}`, ``},
		{"notification of an unknown method", `{"jsonrpc": "2.0", "method": "foobar"}`, ``},
		{
			"unknown method", `{"jsonrpc": "2.0", "method": "foobar", "id": "1"}`,
			`{"jsonrpc": "2.0", "error": {"code": -32601, "message": "Method not found", "data": "foobar"}, "id": "1"}`,
		},
		{
			"unknown method, positional", `{"jsonrpc": "2.0", "method": "foobar", "params": [1], "id": "1"}`,
			`{"jsonrpc": "2.0", "error": {"code": -32601, "message": "Method not found", "data": "foobar"}, "id": "1"}`,
		},
		{
			"invalid JSON", `{"jsonrpc": "2.0", "method": "foobar, "params": "bar", "baz]`,
			`{"jsonrpc": "2.0", "error": {"code": -32700, "message": "Parse error", "data": "expected ',' or '}', found 'p' at byte offset 39"}, "id": null}`,
		},
		{
			"invalid request object", `{"jsonrpc": "2.0", "method": 1, "params": "bar"}`,
			`{"jsonrpc": "2.0", "error": {"code": -32600, "message": "Invalid Request", "data": "method must be a string"}, "id": null}`,
		},
		{"batch, invalid JSON", `[
			{"jsonrpc": "2.0", "method": "sum", "params": [1,2,4], "id": "1"},
			{"jsonrpc": "2.0", "method"
		]`, `{"jsonrpc": "2.0", "error": {"code": -32700, "message": "Parse error", "data": "expected ':' after a member's name, found ']' at byte offset 105"}, "id": null}`},
		{"empty array", `[]`, `{"jsonrpc": "2.0", "error": {"code": -32600, "message": "Invalid Request", "data": "a batch must contain at least one call"}, "id": null}`},
		{"invalid batch, not empty", `[1]`, `[` + noObject + `]`},
		{"invalid batch", `[1,2,3]`, `[` + noObject + `,` + noObject + `,` + noObject + `]`},
		{"batch", `[
			{"jsonrpc": "2.0", "method": "sum", "params": [1,2,4], "id": "1"},
			{"jsonrpc": "2.0", "method": "notify_hello", "params": [7]},
			{"jsonrpc": "2.0", "method": "subtract", "params": {"minuend": 42, "subtrahend": 23}, "id": "2"},
			{"foo": "boo"},
			{"jsonrpc": "2.0", "method": "foobar", "params": {"name": "myself"}, "id": "5"},
			{"jsonrpc": "2.0", "method": "get_data", "id": "9"}
		]`, `[` + byPosition + `"1"},
			{"jsonrpc": "2.0", "result": 19, "id": "2"},
			{"jsonrpc": "2.0", "error": {"code": -32600, "message": "Invalid Request", "data": "jsonrpc must be exactly \"2.0\""}, "id": null},
			{"jsonrpc": "2.0", "error": {"code": -32601, "message": "Method not found", "data": "foobar"}, "id": "5"},
			{"jsonrpc": "2.0", "result": ["hello", 5], "id": "9"}]`},
		{"batch of notifications", `[
			{"jsonrpc": "2.0", "method": "notify_sum", "params": [1,2,4]},
			{"jsonrpc": "2.0", "method": "notify_hello", "params": [7]}
		]`, ``},
	} {
		t.Run(tc.name, func(t *testing.T) {
			w := post(h, tc.body)
			status := http.StatusOK
			if tc.want == "" {
				status = http.StatusNoContent
			}
			if w.Code != status {
				t.Errorf("status %d, want %d", w.Code, status)
			}
			equalJSON(t, w.Body.String(), tc.want)
		})
	}
}
