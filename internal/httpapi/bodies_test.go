package httpapi

import (
	"context"
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"
)

const shortBody = `{"jsonrpc":"2.0","method":"m","id":1}`

// sendTo posts a body and ends the request as net/http does.
func sendTo(t *testing.T, h http.Handler, body string) *httptest.ResponseRecorder {
	t.Helper()
	ctx, over := context.WithCancel(t.Context())
	defer over()
	r := httptest.NewRequestWithContext(ctx, http.MethodPost, "/rpc", strings.NewReader(body))
	r.Header.Set("Content-Type", "application/json")
	w := httptest.NewRecorder()
	h.ServeHTTP(w, r)
	return w
}

// settled waits until all requests have released their reservations for long bodies.
func settled(t *testing.T) {
	t.Helper()
	deadline := time.After(10 * time.Second)
	tick := time.NewTicker(time.Millisecond)
	defer tick.Stop()
	for {
		if longBodies.TryAcquire(maxLongBodies) {
			longBodies.Release(maxLongBodies)
			return
		}
		select {
		case <-tick.C:
		case <-deadline:
			t.Fatal("some of the room is taken, with no request under way")
		}
	}
}

// Not parallel, because the limit belongs to the process.
func TestLongBodiesShareARoom(t *testing.T) {
	settled(t)
	h := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if _, refused := ReadBody(w, r); refused != nil {
			WriteError(w, refused.Status, refused.Error())
		}
	})
	long := shortBody + strings.Repeat(" ", MaxBody-len(shortBody))
	for range 3 {
		if w := sendTo(t, h, long); w.Code != http.StatusOK {
			t.Fatalf("one at a time: status %d: %s", w.Code, w.Body)
		}
	}
	settled(t)

	ctx, over := context.WithCancel(t.Context())
	if taken := (&reservation{from: longBodies, ctx: ctx}); !taken.grow(maxLongBodies - 2*firstRead) {
		t.Fatal("the room is taken")
	}
	w := sendTo(t, h, long)
	if w.Code != http.StatusServiceUnavailable || w.Header().Get("Retry-After") != "1" || w.Header().Get("Connection") != "close" || !json.Valid(w.Body.Bytes()) {
		t.Errorf("no room: status %d, %v: %s", w.Code, w.Header(), w.Body)
	}
	for _, size := range []int{len(shortBody), firstRead - 1, 2*firstRead - 1} {
		if w := sendTo(t, h, long[:size]); w.Code != http.StatusOK {
			t.Errorf("%d bytes need no room that is not there: status %d: %s", size, w.Code, w.Body)
		}
	}
	over()
	settled(t)
	if w := sendTo(t, h, long); w.Code != http.StatusOK {
		t.Errorf("room again: status %d: %s", w.Code, w.Body)
	}
	settled(t)
}
