package mcp_test

import (
	"context"
	"encoding/json"
	"net/http"
	"testing"

	"github.com/claudebench/claudebench/commands"
	"github.com/claudebench/claudebench/internal/api"
	"github.com/claudebench/claudebench/internal/mcp"
)

// BenchmarkCall measures the cost of a tool's call apart from the command.
func BenchmarkCall(b *testing.B) {
	methods, err := commands.Methods()
	if err != nil {
		b.Fatal(err)
	}
	h, err := mcp.NewHandler(dispatch(func(context.Context, api.Request) (json.RawMessage, *api.Error) {
		return json.RawMessage(`{"claimed":false}`), nil
	}), methods, mcp.Options{})
	if err != nil {
		b.Fatal(err)
	}
	for name, body := range map[string]string{
		"call": `{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"task_claim","arguments":{"workerId":"w"}}}`,
		"list": `{"jsonrpc":"2.0","id":1,"method":"tools/list"}`,
	} {
		b.Run(name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				if w := post(h, body); w.Code != http.StatusOK {
					b.Fatal(w.Body)
				}
			}
		})
	}
}
