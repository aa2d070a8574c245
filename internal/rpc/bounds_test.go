package rpc

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"runtime"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/claudebench/claudebench/internal/answers"
	"github.com/claudebench/claudebench/internal/api"
	"github.com/claudebench/claudebench/internal/httpapi"
	"github.com/claudebench/claudebench/internal/jsontext"
)

// doing is a function as a Dispatcher.
type doing func(context.Context, api.Request) (json.RawMessage, *api.Error)

func (f doing) Call(ctx context.Context, req api.Request) (json.RawMessage, *api.Error) {
	return f(ctx, req)
}

func plainHandler(d doing) *handler {
	return NewHandler(d, Options{Log: slog.New(slog.DiscardHandler)}).(*handler)
}

// sent posts a body and ends the request as net/http does.
func sent(t *testing.T, h http.Handler, body string) *httptest.ResponseRecorder {
	t.Helper()
	ctx, over := context.WithCancel(t.Context())
	defer over()
	r := httptest.NewRequestWithContext(ctx, http.MethodPost, "/rpc", strings.NewReader(body))
	r.Header.Set("Content-Type", "application/json")
	w := httptest.NewRecorder()
	h.ServeHTTP(w, r)
	return w
}

const short = `{"jsonrpc":"2.0","method":"m","id":1}`

// The number of goroutines besides those of the connections is limited, however many batches arrive
// at once. All batches make progress.
func TestBatchesShareTheirHelpers(t *testing.T) {
	t.Parallel()
	const batches, helpers = 8, 5
	var mu sync.Mutex
	running, most := 0, 0
	full, fill := context.WithTimeout(t.Context(), 10*time.Second) // filling twice does no harm
	defer fill()
	h := plainHandler(func(context.Context, api.Request) (json.RawMessage, *api.Error) {
		mu.Lock()
		running++
		if most = max(most, running); running == batches+helpers {
			fill()
		}
		mu.Unlock()
		<-full.Done() // all calls that may run at once are running
		mu.Lock()
		running--
		mu.Unlock()
		return nil, nil
	})
	h.helpers = newHelpers(helpers)
	body := "[" + strings.Repeat(short+",", 99) + short + "]"
	var all sync.WaitGroup
	for range batches {
		all.Go(func() {
			if w := sent(t, h, body); w.Code != http.StatusOK || strings.Count(w.Body.String(), `"result"`) != 100 {
				t.Errorf("status %d: %.200s", w.Code, w.Body)
			}
		})
	}
	all.Wait()
	if most != batches+helpers {
		t.Errorf("%d calls ran at once, want %d", most, batches+helpers)
	}
	within, end := context.WithTimeout(t.Context(), 10*time.Second) // they end when they are idle
	defer end()
	if err := h.helpers.free.Acquire(within, helpers); err != nil {
		t.Errorf("fewer than %d helpers are left", helpers)
	}
}

// A small batch of calls with large results does not produce an unlimited response.
func TestAnswersOfABatchAreBounded(t *testing.T) {
	t.Parallel()
	result := json.RawMessage(`"` + strings.Repeat("x", 1<<20) + `"`)
	var mu sync.Mutex
	ran := 0
	h := plainHandler(func(context.Context, api.Request) (json.RawMessage, *api.Error) {
		mu.Lock()
		ran++
		mu.Unlock()
		return result, nil
	})
	h.concurrency = 4
	notification := `{"jsonrpc":"2.0","method":"m"}`
	w := sent(t, h, "["+strings.Repeat(short+",", 100)+strings.Repeat(notification+",", 100)+short+"]")
	var got []struct {
		Result string
		Error  *api.Error
	}
	if err := json.Unmarshal(w.Body.Bytes(), &got); err != nil || len(got) != 101 {
		t.Fatalf("%d answers, %v", len(got), err)
	}
	if most := answers.MaxHeld/len(result) + 1 + h.concurrency; ran > most || ran < answers.MaxHeld/len(result) {
		t.Errorf("%d calls ran, want %d at most", ran, most)
	}
	if last := got[100].Error; last == nil || last.Code != api.CodeInvalidRequest || !strings.HasPrefix(fmt.Sprint(last.Data), "not started: ") {
		t.Errorf("the last is answered %v", last)
	}
}

// A caller that never reads its response is disconnected, and its memory is released.
func TestACallerThatDoesNotReadIsCutOff(t *testing.T) {
	t.Parallel()
	result := json.RawMessage(`"` + strings.Repeat("x", 64<<20) + `"`) // more than sockets buffer
	h := plainHandler(func(context.Context, api.Request) (json.RawMessage, *api.Error) { return result, nil })
	h.writeWithin = 100 * time.Millisecond
	closed := make(chan struct{})
	server := httptest.NewUnstartedServer(h)
	server.Config.ConnState = func(_ net.Conn, state http.ConnState) {
		if state == http.StateClosed {
			close(closed)
		}
	}
	server.Start()
	defer server.Close()
	conn, err := new(net.Dialer).DialContext(t.Context(), "tcp", server.Listener.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	request := "POST /rpc HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nContent-Length: " + fmt.Sprint(len(short)) + "\r\n\r\n" + short
	if _, err := io.WriteString(conn, request); err != nil {
		t.Fatal(err)
	}
	select {
	case <-closed:
	case <-time.After(10 * time.Second):
		t.Fatal("its connection is still open")
	}
	// A caller that reads after all does not get the whole response.
	got, _ := io.Copy(io.Discard, conn)
	if got >= int64(len(result)) {
		t.Errorf("%d bytes were kept for it", got)
	}
}

// Each limit of a body, just within and just beyond it, with a known length and chunked, over a
// real connection.
func TestLimitsOverAConnection(t *testing.T) {
	t.Parallel()
	ran := 0
	server := httptest.NewServer(plainHandler(func(context.Context, api.Request) (json.RawMessage, *api.Error) { ran++; return nil, nil }))
	defer server.Close()
	deep := func(levels int) string {
		return `{"jsonrpc":"2.0","method":"m","id":1,"params":` + strings.Repeat(`{"a":`, levels-2) + `{}` + strings.Repeat("}", levels-2) + `}`
	}
	for _, tc := range []struct {
		name, body string
		status     int
		answer     string
	}{
		{"1 MiB", short + strings.Repeat(" ", httpapi.MaxBody-len(short)), 200, `"result":null`},
		{"a byte more", short + strings.Repeat(" ", httpapi.MaxBody-len(short)+1), 413, `"code":-32600`},
		{"1,000 calls", "[" + strings.Repeat("1,", MaxCalls-1) + short + "]", 200, `"result":null`},
		{"1,001 calls", "[" + strings.Repeat(short+",", MaxCalls) + short + "]", 200, `a batch must contain at most 1000 calls`},
		{"64 levels", deep(jsontext.MaxDepth), 200, `"result":null`},
		{"65 levels", deep(jsontext.MaxDepth + 1), 200, `more than 64 levels deep`},
	} {
		for _, chunked := range []bool{false, true} {
			var body io.Reader = bytes.NewReader([]byte(tc.body))
			if chunked {
				body = struct{ io.Reader }{body} // of unknown length
			}
			r, err := http.NewRequestWithContext(t.Context(), http.MethodPost, server.URL, body)
			if err != nil {
				t.Fatal(err)
			}
			r.Header.Set("Content-Type", "application/json")
			response, err := server.Client().Do(r)
			if err != nil {
				t.Fatalf("%s, in chunks %t: %v", tc.name, chunked, err)
			}
			answer, err := io.ReadAll(response.Body)
			_ = response.Body.Close()
			if err != nil || response.StatusCode != tc.status || !strings.Contains(string(answer), tc.answer) {
				t.Errorf("%s, in chunks %t: status %d, %v: %.300s", tc.name, chunked, response.StatusCode, err, answer)
			}
		}
	}
	if ran != 6 {
		t.Errorf("%d calls ran, want 6", ran)
	}
}

// Not parallel, because it counts the allocations of all goroutines.
func TestLongAnswersAreNotCopied(t *testing.T) {
	const calls, size = 64, 128 << 10
	result := json.RawMessage(`"` + strings.Repeat("x", size-2) + `"`)
	h := plainHandler(func(context.Context, api.Request) (json.RawMessage, *api.Error) { return result, nil })
	body := []byte("[" + strings.Repeat(short+",", calls-1) + short + "]")
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	x := new(exchange)
	h.answer(t.Context(), x, body, api.Request{}, h.answers.Exchange(1))
	parts := x.parts()
	runtime.ReadMemStats(&after)
	var got []struct{ Result json.RawMessage }
	if err := json.Unmarshal(bytes.Join(parts, nil), &got); err != nil || len(got) != calls || !bytes.Equal(got[calls-1].Result, result) {
		t.Fatalf("%d answers, %v", len(got), err)
	}
	if took := after.TotalAlloc - before.TotalAlloc; took > calls*size/4 {
		t.Errorf("an answer of %d results of %d bytes took %d", calls, size, took)
	}
}
