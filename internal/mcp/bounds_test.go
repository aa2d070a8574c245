package mcp_test

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/claudebench/claudebench/internal/api"
)

// As at /rpc, once the results of a batch are too long its remaining calls are not begun. Each of
// them still gets a response.
func TestABatchHoldsBoundedAnswers(t *testing.T) {
	t.Parallel()
	const calls, long, atOnce, whole = 100, 1 << 20, 16, 8 // whole: what fits into maxAnswers
	var begun atomic.Int64
	result := json.RawMessage(`{"id":"` + strings.Repeat("x", long) + `"}`)
	h := handler(t, func(context.Context, api.Request) (json.RawMessage, *api.Error) {
		begun.Add(1)
		return result, nil
	}, nil, nil)
	messages := make([]string, calls)
	for i := range messages {
		messages[i] = fmt.Sprintf(`{"jsonrpc":"2.0","id":%d,"method":"tools/call","params":{"name":"task_get","arguments":{"id":"t-1"}}}`, i+1)
	}
	w := post(h, "["+strings.Join(messages, ",")+"]", "Mcp-Protocol-Version", "2025-03-26")
	var answers []struct {
		ID     int
		Result struct{ IsError bool }
	}
	if err := json.Unmarshal(w.Body.Bytes(), &answers); err != nil || w.Code != http.StatusOK || len(answers) != calls {
		t.Fatalf("%d: %v, %d answers: %.300s", w.Code, err, len(answers), w.Body)
	}
	refused := 0
	for _, a := range answers {
		if a.Result.IsError {
			refused++
		}
	}
	// Calls that run when the limit is exceeded are finished.
	if n := int(begun.Load()); n > whole+atOnce || refused != calls-n {
		t.Errorf("%d calls were begun and %d refused", n, refused)
	}
	if !strings.Contains(w.Body.String(), "not begun: the answers of this batch have more than") {
		t.Error("nobody is told why")
	}
}
