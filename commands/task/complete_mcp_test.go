package task_test

import (
	"encoding/json"
	"errors"
	"testing"

	"github.com/claudebench/claudebench/commands"
	"github.com/claudebench/claudebench/internal/api"
	"github.com/claudebench/claudebench/internal/fleettest"
)

// Over MCP a call must name the worker and the attempt to finish a task. Elsewhere it need not.
func TestCompleteByMCPNeedsTheFence(t *testing.T) {
	fleettest.Everywhere(t, commands.Options{}, func(t *testing.T, f *fleettest.Fleet) {
		f.Register("w", `["worker"]`, "")
		id := f.Create("x", "")
		if f.Claim("w") != id {
			t.Fatal("not claimed")
		}
		for params, missing := range map[string]string{
			`{"id":"` + id + `"}`:                  "workerId parameter is required",
			`{"id":"` + id + `","attempt":1}`:      "workerId parameter is required",
			`{"id":"` + id + `","workerId":"w"}`:   "attempt parameter is required",
			`{"taskId":"` + id + `","result":"1"}`: "workerId parameter is required",
		} {
			_, err := f.Call(t.Context(), api.Request{Method: "task.complete", Params: json.RawMessage(params), MCP: true})
			if known := (*api.Error)(nil); !errors.As(err, &known) || known.Code != api.CodeInvalidParams || known.Data != missing {
				t.Errorf("%s: %v", params, err)
			}
		}
		done := `{"id":"` + id + `","workerId":"w","attempt":1}`
		if _, err := f.Call(t.Context(), api.Request{Method: "task.complete", Params: json.RawMessage(done), MCP: true}); err != nil {
			t.Error(err)
		}
	})
}
