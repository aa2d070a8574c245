package rpc_test

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/claudebench/claudebench/internal/api"
	"github.com/claudebench/claudebench/internal/httpapi"
	"github.com/claudebench/claudebench/internal/rpc"
)

const good = `{"jsonrpc":"2.0","method":"m","params":{"a":1},"id":1}`

func TestStatuses(t *testing.T) {
	h := newHandler(echo)
	long := good + strings.Repeat(" ", httpapi.MaxBody-len(good))
	for _, tc := range []struct {
		name, method, contentType, body string
		head                            []string
		status                          int
	}{
		{"JSON", "POST", "application/json", good, nil, 200},
		{"JSON in UTF-8", "POST", "application/json; charset=UTF-8", good, nil, 200},
		{"JSON in other words", "POST", "Application/JSON;charset=\"utf-8\"", good, nil, 200},
		{"a JSON type", "POST", "application/vnd.x+json", good, nil, 200},
		{"not encoded", "POST", "application/json", good, []string{"Content-Encoding", "identity"}, 200},
		{"as long as may be", "POST", "application/json", long, nil, 200},
		{"no JSON at all", "POST", "application/json", "x", nil, 200},
		{"a notification", "POST", "application/json", `{"jsonrpc":"2.0","method":"m"}`, nil, 204},
		{"GET", "GET", "application/json", "", nil, 405},
		{"PUT", "PUT", "application/json", good, nil, 405},
		{"OPTIONS", "OPTIONS", "application/json", "", nil, 405},
		{"no type", "POST", "", good, nil, 415},
		{"what a form sends", "POST", "text/plain", good, nil, 415},
		{"text/json", "POST", "text/json", good, nil, 415},
		{"nearly JSON", "POST", "application/jsonp", good, nil, 415},
		{"half a type", "POST", "application/json; charset", good, nil, 415},
		{"another charset", "POST", "application/json; charset=latin1", good, nil, 415},
		{"zipped", "POST", "application/json", good, []string{"Content-Encoding", "gzip"}, 415},
		{"a byte too long", "POST", "application/json", long + " ", nil, 413},
	} {
		for _, announced := range []bool{true, false} {
			t.Run(fmt.Sprintf("%s, length announced %t", tc.name, announced), func(t *testing.T) {
				r := httptest.NewRequestWithContext(t.Context(), tc.method, "/rpc", strings.NewReader(tc.body))
				if !announced {
					r.ContentLength = -1
				}
				if tc.contentType != "" {
					r.Header.Set("Content-Type", tc.contentType)
				}
				for i := 0; i < len(tc.head); i += 2 {
					r.Header.Set(tc.head[i], tc.head[i+1])
				}
				w := httptest.NewRecorder()
				h.ServeHTTP(w, r)
				if w.Code != tc.status {
					t.Fatalf("status %d, want %d: %s", w.Code, tc.status, w.Body)
				}
				if allow := w.Header().Get("Allow"); (allow == "POST") != (tc.status == 405) {
					t.Errorf("Allow %q", allow)
				}
				if tc.status == 204 {
					if w.Body.Len() > 0 {
						t.Errorf("a body with status 204: %s", w.Body)
					}
					return
				}
				if got := w.Header().Get("Content-Type"); got != "application/json" {
					t.Errorf("Content-Type %q", got)
				}
				var a struct{ Error *struct{ Message string } }
				if err := json.Unmarshal(w.Body.Bytes(), &a); err != nil {
					t.Errorf("the body is no JSON: %v", err)
				}
				if tc.status != 200 && (a.Error == nil || a.Error.Message != "Invalid Request") {
					t.Errorf("answer %s", w.Body)
				}
			})
		}
	}
}

func TestABodyThatBreaksOffIsNotRun(t *testing.T) {
	h := newHandler(func(context.Context, api.Request) (json.RawMessage, *api.Error) {
		t.Error("the call was run")
		return nil, nil
	})
	r := httptest.NewRequestWithContext(context.Background(), "POST", "/rpc", io.MultiReader(strings.NewReader(good), brokenReader{}))
	r.Header.Set("Content-Type", "application/json")
	w := httptest.NewRecorder()
	h.ServeHTTP(w, r)
	if w.Code != http.StatusBadRequest {
		t.Errorf("status %d: %s", w.Code, w.Body)
	}
}

type brokenReader struct{}

func (brokenReader) Read([]byte) (int, error) { return 0, io.ErrUnexpectedEOF }

func TestAnswersAreWrittenAsTheyAre(t *testing.T) {
	for _, tc := range []struct {
		name   string
		result string
		err    *api.Error
		want   string
	}{
		{"a result", `{"a": "<&>\u2028", "n": 1.0e5}`, nil, `"result":{"a": "<&>\u2028", "n": 1.0e5}`},
		{"no result", ``, nil, `"result":null`},
		{
			"an error", ``, &api.Error{Code: -32005, Message: "Conflict", Data: map[string]any{"reason": "X", "text": "<&>"}},
			`"error":{"code":-32005,"message":"Conflict","data":{"reason":"X","text":"<&>"}}`,
		},
		{
			"an error with raw data", ``, &api.Error{Code: -32005, Message: "a \"b\" <c>", Data: json.RawMessage(`{"n":1.0,"t":"<"}`)},
			`"error":{"code":-32005,"message":"a \"b\" <c>","data":{"n":1.0,"t":"<"}}`,
		},
		{"an error with no data", ``, api.Internal(""), `"error":{"code":-32603,"message":"Internal error"}`},
		{"an error with data that is no JSON", ``, &api.Error{Code: 1, Message: "m", Data: json.RawMessage(`{`)}, `"error":{"code":1,"message":"m"}`},
	} {
		t.Run(tc.name, func(t *testing.T) {
			h := newHandler(func(context.Context, api.Request) (json.RawMessage, *api.Error) {
				return json.RawMessage(tc.result), tc.err
			})
			if got, want := post(h, good).Body.String(), `{"jsonrpc":"2.0",`+tc.want+`,"id":1}`; got != want {
				t.Errorf("got  %s\nwant %s", got, want)
			}
		})
	}
}

func TestAPanicIsOneCallsOwn(t *testing.T) {
	var logged bytes.Buffer
	d := dispatch(func(ctx context.Context, req api.Request) (json.RawMessage, *api.Error) {
		if req.Method == "bad" {
			panic("the secret")
		}
		return echo(ctx, req)
	})
	h := rpc.NewHandler(d, rpc.Options{Log: slog.New(slog.NewTextHandler(&logged, nil))})
	got := post(h, `[{"jsonrpc":"2.0","method":"ok","id":1},{"jsonrpc":"2.0","method":"bad","id":2},{"jsonrpc":"2.0","method":"ok","id":3}]`).Body.String()
	want := `[{"jsonrpc":"2.0","result":{},"id":1},{"jsonrpc":"2.0","error":{"code":-32603,"message":"Internal error"},"id":2},{"jsonrpc":"2.0","result":{},"id":3}]`
	if got != want {
		t.Errorf("got  %s\nwant %s", got, want)
	}
	if n := strings.Count(logged.String(), "the secret"); n != 1 {
		t.Errorf("the panic is in the log %d times:\n%s", n, &logged)
	}
}

func TestNotificationsAreRunAndNotAnswered(t *testing.T) {
	var ran atomic.Int32
	h := newHandler(func(_ context.Context, req api.Request) (json.RawMessage, *api.Error) {
		ran.Add(1)
		if req.Cause != "" && req.Cause != "c" {
			t.Errorf("cause %q", req.Cause)
		}
		if req.Method == "bad" {
			return nil, api.InvalidParams("x")
		}
		return json.RawMessage(`1`), nil
	})
	w := post(h, `[{"jsonrpc":"2.0","method":"bad"},{"jsonrpc":"2.0","method":"ok","metadata":{"correlationId":"c"}},{"jsonrpc":"2.0","method":"ok","params":[1]}]`)
	if w.Code != 204 || w.Body.Len() > 0 || ran.Load() != 2 {
		t.Errorf("status %d, body %q, %d calls run", w.Code, w.Body, ran.Load())
	}
}

// Every call of a batch waits until as many run as may run at once. With fewer the test would hang;
// more are counted.
func TestCallsOfABatchRunTogetherAndAreAnsweredInOrder(t *testing.T) {
	const calls, together = rpc.MaxCalls, 250
	var running, most atomic.Int32
	var mu sync.Mutex
	waiting, all := 0, make(chan struct{})
	d := dispatch(func(_ context.Context, req api.Request) (json.RawMessage, *api.Error) {
		n := running.Add(1)
		for m := most.Load(); n > m && !most.CompareAndSwap(m, n); m = most.Load() {
		}
		mu.Lock()
		wait := all
		if waiting++; waiting == together {
			waiting, all = 0, make(chan struct{})
			close(wait)
		}
		mu.Unlock()
		<-wait
		running.Add(-1)
		return req.Params, nil
	})
	h := rpc.NewHandler(d, rpc.Options{Log: quiet, Concurrency: together})
	var body, want []string
	for i := range calls {
		body = append(body, fmt.Sprintf(`{"jsonrpc":"2.0","method":"m","params":{"n":%d},"id":%d}`, i, calls-i))
		want = append(want, fmt.Sprintf(`{"jsonrpc":"2.0","result":{"n":%d},"id":%d}`, i, calls-i))
	}
	if got := post(h, "["+strings.Join(body, ",")+"]").Body.String(); got != "["+strings.Join(want, ",")+"]" {
		t.Errorf("the answers are not in the requests' order: %.300s…", got)
	}
	if most.Load() != together {
		t.Errorf("%d calls ran at once, want %d", most.Load(), together)
	}
}

func TestWhatTheCallerHungUpOnIsNotBegun(t *testing.T) {
	ctx, hangUp := context.WithCancel(context.Background())
	ran := 0
	h := rpc.NewHandler(dispatch(func(context.Context, api.Request) (json.RawMessage, *api.Error) {
		ran++
		hangUp()
		return nil, api.Internal("")
	}), rpc.Options{Log: quiet, Concurrency: 1})
	r := httptest.NewRequestWithContext(ctx, "POST", "/rpc", strings.NewReader("["+good+","+good+","+good+"]"))
	r.Header.Set("Content-Type", "application/json")
	h.ServeHTTP(httptest.NewRecorder(), r)
	if ran != 1 {
		t.Errorf("%d calls were begun, want 1", ran)
	}
}

// Params that the Dispatcher keeps must not change when the next body arrives.
func TestParamsMayBeKept(t *testing.T) {
	var mu sync.Mutex
	kept := map[string]json.RawMessage{}
	h := newHandler(func(_ context.Context, req api.Request) (json.RawMessage, *api.Error) {
		mu.Lock()
		defer mu.Unlock()
		kept[req.Cause] = req.Params
		_ = append(req.Params, "overwritten"...)
		return nil, nil
	})
	for i := range 50 {
		got := post(h, fmt.Sprintf(`[{"jsonrpc":"2.0", "method":"m", "params": {"n": "%[1]d a"}, "id":"%[1]d a"},{"jsonrpc":"2.0","method":"m","params":{"n":"%[1]d b"},"id":"%[1]d b"}]`, i)).Body.String()
		if want := fmt.Sprintf(`[{"jsonrpc":"2.0","result":null,"id":"%[1]d a"},{"jsonrpc":"2.0","result":null,"id":"%[1]d b"}]`, i); got != want {
			t.Fatalf("got  %s\nwant %s", got, want)
		}
	}
	for cause, params := range kept {
		if want := `{"n":"` + cause + `"}`; string(params) != want {
			t.Errorf("kept %s, want %s", params, want)
		}
	}
	if len(kept) != 100 {
		t.Errorf("%d calls, want 100", len(kept))
	}
}

func TestWhoCalls(t *testing.T) {
	var got api.Request
	d := dispatch(func(_ context.Context, req api.Request) (json.RawMessage, *api.Error) {
		got = req
		return nil, nil
	})
	h := rpc.NewHandler(d, rpc.Options{Log: quiet, Caller: func(r *http.Request) string { return r.Header.Get("X-Test-Token") }})
	const trace = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"
	for remote, addr := range map[string]string{"192.0.2.7:1234": "192.0.2.7", "[2001:db8::1]:80": "2001:db8::1", "@": ""} {
		r := httptest.NewRequestWithContext(context.Background(), "POST", "/rpc", strings.NewReader(good))
		r.RemoteAddr = remote
		r.Header.Set("Content-Type", "application/json")
		r.Header.Set("X-Forwarded-For", "203.0.113.9")
		r.Header.Set("X-Test-Token", "ops")
		r.Header.Set("Traceparent", trace)
		h.ServeHTTP(httptest.NewRecorder(), r)
		if got.Addr != addr || got.Caller != "ops" || got.Trace != trace {
			t.Errorf("from %s: address %q, caller %q, trace %q", remote, got.Addr, got.Caller, got.Trace)
		}
	}
}

func TestTraceparent(t *testing.T) {
	var got string
	h := newHandler(func(_ context.Context, req api.Request) (json.RawMessage, *api.Error) {
		got = req.Trace
		return nil, nil
	})
	const rest = "-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"
	const random, reserved = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-03", "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-04"
	for given, want := range map[string]string{
		"00" + rest:                  "00" + rest,
		random:                       random,
		reserved:                     "",
		"cc" + rest:                  "00" + rest,
		"cc" + rest + "-what":        "00" + rest,
		"cc" + rest + "what":         "",
		"00" + rest + "-what":        "",
		"ff" + rest:                  "",
		"0x" + rest:                  "",
		"00" + strings.ToUpper(rest): "",
		"00-00000000000000000000000000000000-00f067aa0ba902b7-01": "",
		"00-4bf92f3577b34da6a3ce929d0e0e4736-0000000000000000-01": "",
		"00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-0":  "",
		"00-4bf92f3577b34da6a3ce929d0e0e4736_00f067aa0ba902b7-01": "",
		"": "",
	} {
		post(h, good, "Traceparent", given)
		if got != want {
			t.Errorf("%q became %q, want %q", given, got, want)
		}
	}
}

// Over a real connection: a client that is still sending gets the refusal, and a good connection is
// kept open.
func TestOverAConnection(t *testing.T) {
	srv := httptest.NewServer(newHandler(echo))
	defer srv.Close()
	conn, err := new(net.Dialer).DialContext(t.Context(), "tcp", srv.Listener.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	in := bufio.NewReader(conn)
	send := func(head, body string) (status int, closed bool) {
		t.Helper()
		if _, err := io.WriteString(conn, "POST /rpc HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\n"+head+"\r\n"+body); err != nil {
			t.Fatal(err)
		}
		resp, err := http.ReadResponse(in, nil)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := io.Copy(io.Discard, resp.Body); err != nil {
			t.Fatal(err)
		}
		_ = resp.Body.Close()
		return resp.StatusCode, resp.Close
	}
	for range 2 {
		if status, closed := send(fmt.Sprintf("Content-Length: %d\r\n", len(good)), good); status != 200 || closed {
			t.Fatalf("status %d, closed %t", status, closed)
		}
	}
	if status, closed := send("Content-Length: 2000000\r\n", "{"); status != 413 || !closed {
		t.Errorf("status %d, closed %t; want 413 and the connection closed", status, closed)
	}
}
