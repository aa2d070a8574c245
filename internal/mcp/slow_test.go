package mcp_test

import (
	"context"
	"encoding/json"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/claudebench/claudebench/internal/api"
)

// A claim may wait for longer than the server's timeouts. Its answer still arrives.
func TestAnswerAfterTheServersTimeouts(t *testing.T) {
	t.Parallel()
	const timeout = 100 * time.Millisecond
	server := httptest.NewUnstartedServer(handler(t, dispatch(func(ctx context.Context, _ api.Request) (json.RawMessage, *api.Error) {
		select {
		case <-time.After(4 * timeout):
		case <-ctx.Done():
		}
		return json.RawMessage(`{"claimed":false}`), nil
	}), nil, nil))
	server.Config.ReadTimeout, server.Config.WriteTimeout = timeout, timeout
	server.Start()
	defer server.Close()
	request, err := http.NewRequestWithContext(t.Context(), http.MethodPost, server.URL, strings.NewReader(
		`{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"task_claim","arguments":{"workerId":"w","waitMs":400}}}`))
	if err != nil {
		t.Fatal(err)
	}
	request.Header.Set("Content-Type", "application/json")
	request.Header.Set("Accept", "application/json, text/event-stream")
	request.Header.Set("Mcp-Protocol-Version", "2025-11-25")
	response, err := server.Client().Do(request)
	if err != nil {
		t.Fatal(err)
	}
	defer response.Body.Close()
	body, err := io.ReadAll(response.Body)
	if err != nil || response.StatusCode != http.StatusOK || !strings.Contains(string(body), `"claimed":false`) {
		t.Errorf("answered %d %s, %v", response.StatusCode, body, err)
	}
}
