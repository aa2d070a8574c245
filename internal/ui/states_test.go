package ui_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"strings"
	"sync"
	"testing"

	"github.com/claudebench/claudebench/internal/browsertest"
)

// between stands between the browser and the coordinator. It can hold calls back and answer them
// itself.
type between struct {
	url string

	mu     sync.Mutex
	hold   chan struct{}                     // calls wait until it is closed; nil holds none
	stream chan struct{}                     // the same for streams
	lose   string                            // the answers to this method are lost
	events string                            // is the stream, instead of the coordinator's
	answer func(method string) (body string) // instead of the coordinator's answer; "" leaves it
}

// standBetween starts a proxy in front of the coordinator.
func (f *fleet) standBetween(t *testing.T) *between {
	t.Helper()
	target, err := url.Parse(f.url)
	if err != nil {
		t.Fatal(err)
	}
	b := &between{}
	proxy := &httputil.ReverseProxy{
		FlushInterval: -1,
		Transport:     f.http.Transport,
		Rewrite: func(r *httputil.ProxyRequest) {
			r.SetURL(target) // also the Host
			r.Out.Header.Del("Origin")
		},
	}
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/events" {
			b.mu.Lock()
			hold, own := b.stream, b.events
			b.mu.Unlock()
			waitFor(r, hold)
			if own != "" {
				w.Header().Set("Content-Type", "text/event-stream")
				_, _ = io.WriteString(w, own)
				_ = http.NewResponseController(w).Flush()
				<-r.Context().Done()
				return
			}
		}
		if r.URL.Path != "/rpc" {
			proxy.ServeHTTP(w, r)
			return
		}
		body, err := io.ReadAll(r.Body)
		if err != nil {
			return
		}
		r.Body, r.ContentLength = io.NopCloser(bytes.NewReader(body)), int64(len(body))
		if bytes.Contains(body, []byte("system.discover")) { // who the caller is
			proxy.ServeHTTP(w, r)
			return
		}
		b.mu.Lock()
		hold, answer, lose := b.hold, b.answer, b.lose
		b.mu.Unlock()
		waitFor(r, hold)
		if lose != "" && bytes.Contains(body, []byte(lose)) {
			proxy.ServeHTTP(httptest.NewRecorder(), r)
			panic(http.ErrAbortHandler)
		}
		if own := answered(body, answer); own != "" {
			w.Header().Set("Content-Type", "application/json")
			_, _ = io.WriteString(w, own)
			return
		}
		proxy.ServeHTTP(w, r)
	}))
	t.Cleanup(s.Close)
	t.Cleanup(s.CloseClientConnections) // its streams never end by themselves
	b.url = s.URL
	return b
}

// waitFor waits until hold is closed, or the request has ended. nil does not wait.
func waitFor(r *http.Request, hold chan struct{}) {
	if hold == nil {
		return
	}
	select {
	case <-hold:
	case <-r.Context().Done():
	}
}

// answered returns the answer to a batch, "" if a method in it has none.
func answered(body []byte, answer func(string) string) string {
	var calls []struct {
		ID     int
		Method string
	}
	if answer == nil || json.Unmarshal(body, &calls) != nil {
		return ""
	}
	var own []string
	for _, call := range calls {
		text := answer(call.Method)
		if text == "" {
			return ""
		}
		own = append(own, fmt.Sprintf(`{"jsonrpc":"2.0","id":%d,%s}`, call.ID, text))
	}
	return "[" + strings.Join(own, ",") + "]"
}

// holdStreams holds streams back until the channel is closed.
func (b *between) holdStreams(hold chan struct{}) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.stream = hold
}

// streams sends this stream.
func (b *between) streams(own string) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.events = own
}

// loses loses the answers to a method, "" none.
func (b *between) loses(method string) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.lose = method
}

func (b *between) set(hold chan struct{}, answer func(string) string) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.hold, b.answer = hold, answer
}

// While answers are awaited a page says so, and shows them when they come.
func TestPagesThatWait(t *testing.T) {
	t.Parallel()
	f := start(t, nil).live()
	b := f.standBetween(t)
	tab := browsertest.Open(t, b.url)
	for _, page := range pages {
		gate := make(chan struct{})
		b.set(gate, nil)
		tab.Go(page.path)
		if page.name == "events" {
			tab.Sees("Waiting for events…")
		} else {
			tab.Sees("Loading…")
		}
		close(gate)
		ready(tab, page.name)
		tab.SeesNot("Loading…", "Waiting for events…")
	}
}

// An error is told in the words of the API, in place of the data, and goes when the data comes.
func TestPagesThatFail(t *testing.T) {
	t.Parallel()
	f := start(t, nil).live()
	b := f.standBetween(t)
	tab := browsertest.Open(t, b.url)
	for _, page := range pages {
		for _, failure := range []struct{ answer, want string }{
			{`"error":{"code":-32603,"message":"Internal error","data":"Redis unavailable"}`, "Redis unavailable"},
			{`"error":{"code":-32002,"message":"Unauthorized","data":"the token lacks the role auditor"}`, "the token lacks the role auditor"},
			{`"error":{"code":-32000,"message":"Rate limit exceeded","data":{"limit":1,"windowMs":60000,"retryAfterMs":1000}}`, "Too many calls. Try again in 1 s."},
		} {
			b.set(nil, func(string) string { return failure.answer })
			tab.Go(page.path)
			ready(tab, page.name)
			tab.Sees(failure.want)
			tab.SeesNot("Loading…", "undefined", "[object")
		}
	}
	// The last failure was a rate limit, so the page asks again soon.
	tab.Go("/ui/fleet")
	tab.Sees("Too many calls.")
	b.set(nil, nil)
	tab.Sees("4 live instances")
	tab.SeesNot("Too many calls.")
}

// A list that lacks events says so.
func TestBehind(t *testing.T) {
	t.Parallel()
	f := start(t, nil).live()
	b := f.standBetween(t)
	tab := browsertest.Open(t, b.url)
	b.set(nil, func(method string) string {
		if method != "task.list" {
			return ""
		}
		return `"result":{"tasks":[],"totalCount":0,"hasMore":false,"behind":{"events":1234,"ms":9000}}`
	})
	tab.Go("/ui/tasks")
	ready(tab, "tasks")
	status(tab, "Behind")
	tab.Sees("up to 1,234 events behind", "It catches up by itself.")
	tab.Find("link", "Fleet").Click() // which is not behind
	ready(tab, "fleet")
	status(tab, "Live")
	tab.Find("link", "Tasks").Click()
	status(tab, "Behind")
	b.set(nil, nil)
	f.create("it has caught up", nil)
	tab.Sees("it has caught up")
	status(tab, "Live")
	tab.SeesNot("events behind")
}
