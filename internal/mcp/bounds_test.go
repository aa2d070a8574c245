package mcp_test

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/claudebench/claudebench/internal/answers"
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
	var all []struct {
		ID     int
		Result struct{ IsError bool }
	}
	if err := json.Unmarshal(w.Body.Bytes(), &all); err != nil || w.Code != http.StatusOK || len(all) != calls {
		t.Fatalf("%d: %v, %d answers: %.300s", w.Code, err, len(all), w.Body)
	}
	refused := 0
	for _, a := range all {
		if a.Result.IsError {
			refused++
		}
	}
	// Calls that run when the limit is exceeded are finished.
	if n := int(begun.Load()); n > whole+atOnce || refused != calls-n {
		t.Errorf("%d calls were begun and %d refused", n, refused)
	}
	if !strings.Contains(w.Body.String(), "not started: the answers of this batch already exceed") {
		t.Error("nobody is told why")
	}
}

// Lists of tools count as answers of calls do: a short batch of them is not answered with many times
// its length.
func TestABatchHoldsBoundedLists(t *testing.T) {
	t.Parallel()
	const lists = 1000
	h := handler(t, func(context.Context, api.Request) (json.RawMessage, *api.Error) { return nil, nil }, nil, nil)
	messages := make([]string, lists)
	for i := range messages {
		messages[i] = fmt.Sprintf(`{"jsonrpc":"2.0","id":%d,"method":"tools/list"}`, i+1)
	}
	w := post(h, "["+strings.Join(messages, ",")+"]", "Mcp-Protocol-Version", "2025-03-26")
	var all []struct {
		Result struct{ Tools []any }
		Error  struct{ Code int }
	}
	if err := json.Unmarshal(w.Body.Bytes(), &all); err != nil || w.Code != http.StatusOK || len(all) != lists {
		t.Fatalf("%d: %v, %d answers: %.300s", w.Code, err, len(all), w.Body)
	}
	whole, refused := 0, 0
	for _, a := range all {
		switch {
		case len(a.Result.Tools) > 0:
			whole++
		case a.Error.Code == api.CodeInvalidRequest:
			refused++
		}
	}
	if whole == 0 || whole+refused != lists || w.Body.Len() > answers.MaxHeld {
		t.Errorf("%d lists and %d refusals in %d bytes", whole, refused, w.Body.Len())
	}
	if w := post(h, `{"jsonrpc":"2.0","id":1,"method":"tools/list"}`); !strings.Contains(w.Body.String(), `"task_claim"`) {
		t.Errorf("a list by itself: %.300s", w.Body)
	}
}
