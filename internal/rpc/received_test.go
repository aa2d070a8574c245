package rpc_test

import (
	"context"
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/claudebench/claudebench/internal/api"
	"github.com/claudebench/claudebench/internal/rpc"
	"github.com/claudebench/claudebench/internal/testenv"
)

// A method's timeout starts when its request begins to arrive. A slow body leaves less of it.
func TestTimeCountsFromTheRequestsBeginning(t *testing.T) {
	t.Parallel()
	var got time.Time
	h := rpc.NewHandler(dispatch(func(_ context.Context, r api.Request) (json.RawMessage, *api.Error) {
		got = r.Received
		return nil, nil
	}), rpc.Options{})
	body := &testenv.TimedBody{Reader: strings.NewReader(`{"jsonrpc":"2.0","id":1,"method":"m"}`)}
	r := httptest.NewRequestWithContext(t.Context(), http.MethodPost, "/rpc", body)
	r.Header.Set("Content-Type", "application/json")
	began := time.Now()
	h.ServeHTTP(httptest.NewRecorder(), r)
	if got.Before(began) || got.After(body.FirstRead) {
		t.Errorf("it counts from %v, the request began between %v and %v", got, began, body.FirstRead)
	}
}
