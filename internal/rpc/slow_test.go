package rpc

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

// slow returns its result after the server's timeouts have passed.
type slow struct{ takes time.Duration }

func (s slow) Call(context.Context, api.Request) (json.RawMessage, *api.Error) {
	timer := time.NewTimer(s.takes)
	defer timer.Stop()
	<-timer.C
	return json.RawMessage(`"late"`), nil
}

// A call, for example a flush, may take longer than the server's timeout for a request.
func TestAnswerAfterTheServersTimeouts(t *testing.T) {
	t.Parallel()
	const timeout = 100 * time.Millisecond
	server := httptest.NewUnstartedServer(NewHandler(slow{4 * timeout}, Options{}))
	server.Config.ReadTimeout, server.Config.WriteTimeout = timeout, timeout
	server.Start()
	defer server.Close()
	request, err := http.NewRequestWithContext(t.Context(), http.MethodPost, server.URL, strings.NewReader(`{"jsonrpc":"2.0","id":1,"method":"m"}`))
	if err != nil {
		t.Fatal(err)
	}
	request.Header.Set("Content-Type", "application/json")
	response, err := server.Client().Do(request)
	if err != nil {
		t.Fatal(err)
	}
	defer response.Body.Close()
	body, err := io.ReadAll(response.Body)
	if err != nil || response.StatusCode != http.StatusOK || !strings.Contains(string(body), `"late"`) {
		t.Errorf("answered %d %s, %v", response.StatusCode, body, err)
	}
}
