package rpc_test

import (
	"context"
	"encoding/json"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"go.uber.org/goleak"

	"github.com/claudebench/claudebench/internal/api"
	"github.com/claudebench/claudebench/internal/rpc"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// dispatch is a function as a Dispatcher.
type dispatch func(ctx context.Context, req api.Request) (json.RawMessage, *api.Error)

func (f dispatch) Call(ctx context.Context, req api.Request) (json.RawMessage, *api.Error) {
	return f(ctx, req)
}

// echo returns the params as the result.
func echo(_ context.Context, req api.Request) (json.RawMessage, *api.Error) { return req.Params, nil }

var quiet = slog.New(slog.NewTextHandler(io.Discard, nil))

func post(h http.Handler, body string, head ...string) *httptest.ResponseRecorder {
	ctx, over := context.WithCancel(context.Background())
	defer over() // as net/http does after a request
	r := httptest.NewRequestWithContext(ctx, http.MethodPost, "/rpc", strings.NewReader(body))
	r.Header.Set("Content-Type", "application/json")
	for i := 0; i < len(head); i += 2 {
		r.Header.Set(head[i], head[i+1])
	}
	w := httptest.NewRecorder()
	h.ServeHTTP(w, r)
	return w
}

// equalJSON compares texts as JSON: the order of members and white space do not matter.
func equalJSON(t *testing.T, got, want string) {
	t.Helper()
	if want == "" || got == "" {
		if got != want {
			t.Fatalf("answer %q, want %q", got, want)
		}
		return
	}
	var g, w any
	if err := json.Unmarshal([]byte(got), &g); err != nil {
		t.Fatalf("the answer %q is no JSON: %v", got, err)
	}
	if err := json.Unmarshal([]byte(want), &w); err != nil {
		t.Fatalf("the wanted %q is no JSON: %v", want, err)
	}
	if diff := cmp.Diff(w, g); diff != "" {
		t.Fatalf("answer %s (-want +got):\n%s", got, diff)
	}
}

// answered posts a body and returns the result of its one response, or the code and the data of its
// error.
func answered(t *testing.T, h http.Handler, body string) (id, result string, code int, data string) {
	t.Helper()
	w := post(h, body)
	if w.Code != http.StatusOK {
		t.Fatalf("status %d: %s", w.Code, w.Body)
	}
	var a struct {
		ID     json.RawMessage `json:"id"`
		Result json.RawMessage `json:"result"`
		Error  struct {
			Code    int    `json:"code"`
			Message string `json:"message"`
			Data    any    `json:"data"`
		} `json:"error"`
	}
	if err := json.Unmarshal(w.Body.Bytes(), &a); err != nil {
		t.Fatalf("answer %s: %v", w.Body, err)
	}
	if names := map[int]string{-32700: "Parse error", -32600: "Invalid Request"}; names[a.Error.Code] != "" && names[a.Error.Code] != a.Error.Message {
		t.Fatalf("code %d with the message %q", a.Error.Code, a.Error.Message)
	}
	data, _ = a.Error.Data.(string)
	return string(a.ID), string(a.Result), a.Error.Code, data
}

func newHandler(f dispatch) http.Handler { return rpc.NewHandler(f, rpc.Options{Log: quiet}) }
