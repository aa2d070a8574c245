package server

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/claudebench/claudebench/internal/api"
	"github.com/claudebench/claudebench/internal/auth"
	"github.com/claudebench/claudebench/internal/config"
)

// eventStream is a stream of /events.
type eventStream struct {
	body  io.ReadCloser
	lines *bufio.Reader
	id    string // where to resume
}

// block is what a stream has between two empty lines.
type block struct{ id, event, data string }

var errStatus = errors.New("refused")

// openEvents opens a stream.
func (c *client) openEvents(ctx context.Context, query string, change func(*http.Request)) (*eventStream, error) {
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, c.url+"/events"+query, nil)
	if err != nil {
		return nil, err
	}
	if change != nil {
		change(request)
	}
	response, err := c.http.Transport.RoundTrip(request)
	if err != nil {
		return nil, err
	}
	if response.StatusCode != http.StatusOK {
		text, _ := io.ReadAll(response.Body)
		_ = response.Body.Close()
		return nil, fmt.Errorf("%w: %d %s", errStatus, response.StatusCode, text)
	}
	s := &eventStream{body: response.Body, lines: bufio.NewReader(response.Body)}
	_, err = s.read() // the position
	return s, err
}

// read returns the next block.
func (s *eventStream) read() (block, error) {
	var b block
	for {
		line, err := s.lines.ReadString('\n')
		if err != nil {
			return b, err
		}
		name, value, _ := strings.Cut(strings.TrimSuffix(line, "\n"), ": ")
		switch name {
		case "":
			if line == "\n" {
				return b, nil
			}
		case "id":
			b.id, s.id = value, value
		case "event":
			b.event = value
		case "data":
			b.data = value
		}
	}
}

// mustOpen opens a stream that the test closes.
func (c *client) mustOpen(t *testing.T, query string, change func(*http.Request)) *eventStream {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	t.Cleanup(cancel)
	s, err := c.openEvents(ctx, query, change)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = s.body.Close() })
	return s
}

// next returns the next event.
func (s *eventStream) next(t *testing.T) block {
	t.Helper()
	for {
		b, err := s.read()
		if err != nil {
			t.Fatalf("after %s: %v", s.id, err)
		}
		if b.data != "" {
			return b
		}
	}
}

// A flush costs who follows no event, and who was away is told what the flush removed.
func TestEventsOverAFlush(t *testing.T) {
	t.Parallel()
	cfg := settings(t, nil)
	c := start(t, cfg)
	s := c.mustOpen(t, "", nil)
	for n := range 3 {
		c.create(t, params{"text": "before"})
		if b := s.next(t); b.event != "task.created" || !strings.HasSuffix(b.id, fmt.Sprint("-", n+1)) {
			t.Fatalf("got %+v", b)
		}
	}
	away := s.id
	c.create(t, params{"text": "missed by who is away"})
	call[object](t, c, "system.flush", params{"confirm": confirm})
	c.create(t, params{"text": "after"})
	for n, want := range []string{"task.created", "system.flushed", "task.created"} {
		if b := s.next(t); b.event != want || !strings.HasSuffix(b.id, fmt.Sprint("-", n+4)) {
			t.Errorf("got %+v, want %s", b, want)
		}
	}
	// At another coordinator.
	later := start(t, cfg).mustOpen(t, "?types=system.flushed&after="+away, nil)
	if b := later.next(t); b.event != "gap" || b.data != `{"from":4,"to":4,"reason":"flushed"}` {
		t.Errorf("got %+v", b)
	}
	if b := later.next(t); b.event != "system.flushed" {
		t.Errorf("then %+v", b)
	}
}

// follower of events over HTTP that connects again, at another coordinator each time.
type reconnecting struct {
	id   string
	seen []string // IDs
	data map[string]string
	cuts int
}

func (r *reconnecting) follow(ctx context.Context, coordinators []*client) {
	for n := 0; ctx.Err() == nil; n++ {
		s, err := coordinators[n%len(coordinators)].openEvents(ctx, "?types=*", func(q *http.Request) { q.Header.Set("Last-Event-ID", r.id) })
		for err == nil {
			var b block
			if b, err = s.read(); err != nil {
				break
			}
			r.id = s.id
			if b.event == "gap" || b.event == "end" {
				r.seen = append(r.seen, b.event+" "+b.data)
			} else if b.data != "" {
				r.seen, r.data[b.id] = append(r.seen, b.id), b.data
			}
			if len(r.seen)%200 == 199 { // the client itself hangs up at times
				_ = s.body.Close()
			}
		}
		if s != nil {
			_ = s.body.Close()
		}
		r.cuts++
		select {
		case <-time.After(20 * time.Millisecond):
		case <-ctx.Done():
		}
	}
}

// While Redis is killed and restarted and clients connect again at other coordinators, they see each
// event of the log once and in order.
func TestNoEventIsLostOverReconnects(t *testing.T) {
	t.Parallel()
	server := durable(t)
	cfg := settings(t, func(c *config.Config) { c.RedisURL = server.URL() })
	a, b := start(t, cfg), start(t, cfg)
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	var followers sync.WaitGroup
	var all []*reconnecting
	for n := range 4 {
		r := &reconnecting{id: "0", data: map[string]string{}}
		all = append(all, r)
		followers.Go(func() { r.follow(ctx, [][]*client{{a, b}, {b, a}}[n%2]) })
	}
	l := startLoad(t, 4, one(a))
	for range 2 {
		l.progress(200)
		if err := server.Kill(); err != nil {
			t.Fatal(err)
		}
		l.trouble(4)
		if _, err := a.openEvents(ctx, "", nil); !errors.Is(err, errStatus) || !strings.Contains(err.Error(), "503") {
			t.Errorf("a new stream without Redis: %v", err)
		}
		if err := server.Restart(t.Context()); err != nil {
			t.Fatal(err)
		}
		l.progress(200)
	}
	l.end()
	log := entries(t, cfg)
	last := log[len(log)-1].ID.String()
	// The last event is seen by all.
	watch := a.mustOpen(t, "?after=0", nil)
	for watch.id != last {
		watch.next(t)
	}
	time.AfterFunc(3*time.Second, cancel)
	followers.Wait()
	for n, r := range all {
		if len(r.seen) != len(log) || r.cuts < 3 {
			t.Errorf("client %d saw %d of %d events, over %d connections", n, len(r.seen), len(log), r.cuts)
			continue
		}
		for i, e := range log {
			if text, err := e.Encode(); r.seen[i] != e.ID.String() || err != nil || r.data[r.seen[i]] != string(text) {
				t.Fatalf("client %d saw %s, want %s", n, r.seen[i], e.ID)
			}
		}
	}
}

// The end of a coordinator ends its streams at once, with the position to resume from.
func TestStopEndsStreams(t *testing.T) {
	t.Parallel()
	cfg := settings(t, nil)
	s, err := Start(t.Context(), cfg, Options{Logger: quiet})
	if err != nil {
		t.Fatal(err)
	}
	c := newClient(t, s.Addr())
	open := c.mustOpen(t, "?types=hook.*", nil)
	c.create(t, params{"text": "x"})
	began := time.Now()
	if err := s.Stop(t.Context()); err != nil {
		t.Error(err)
	}
	if took := time.Since(began); took > 8*time.Second {
		t.Errorf("the stop took %s", took)
	}
	b := open.next(t)
	var end struct{ Reason, After string }
	if err := json.Unmarshal([]byte(b.data), &end); err != nil || b.event != "end" || end.Reason != "stopping" {
		t.Errorf("got %+v", b)
	}
	if _, err := open.read(); !errors.Is(err, io.EOF) {
		t.Errorf("then %v", err)
	}
}

// A stream ends when its token is gone after a reload, or is another token of the same name. All
// roles may read.
func TestStreamsOfTokens(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "tokens.yaml")
	file, secrets := map[string]string{}, map[string]string{}
	issue := func(role string) {
		entry, secret, err := auth.NewEntry(api.Token{Name: role, Roles: []string{role}})
		if err != nil {
			t.Fatal(err)
		}
		file[role], secrets[role] = entry, secret
	}
	write := func() {
		if err := os.WriteFile(path, []byte(strings.Join(slices.Collect(maps.Values(file)), "")), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	for _, role := range api.Roles() {
		issue(role)
	}
	write()
	s := startServer(t, settings(t, func(c *config.Config) { c.AuthFile = path }), &screen{})
	c := newClient(t, s.Addr())
	if _, err := c.openEvents(t.Context(), "", nil); !errors.Is(err, errStatus) || !strings.Contains(err.Error(), "401") {
		t.Errorf("without a token: %v", err)
	}
	streams := map[string]*eventStream{}
	for _, role := range api.Roles() {
		streams[role] = c.mustOpen(t, "", bearing(secrets[role]))
	}
	// The agent's token is removed, the admin's is replaced.
	delete(file, "agent")
	issue("admin")
	write()
	if err := s.Reload(t.Context()); err != nil {
		t.Fatal(err)
	}
	for _, role := range []string{"agent", "admin"} {
		if b := streams[role].next(t); b.event != "end" || b.data != `{"reason":"token","after":"0"}` {
			t.Errorf("%s: %+v", role, b)
		}
	}
	status, body := c.post(t, "/rpc", `{"jsonrpc":"2.0","id":1,"method":"task.create","params":{"text":"x"}}`, bearing(secrets["operator"]))
	if status != http.StatusOK || !strings.Contains(body, "t-1") {
		t.Fatalf("%d %s", status, body)
	}
	for _, role := range []string{"operator", "auditor"} {
		if b := streams[role].next(t); b.event != "task.created" {
			t.Errorf("%s: %+v", role, b)
		}
	}
}

// 200 clients, of which some read slowly and some not at all, do not delay the others, and the
// memory is bounded.
func TestManySubscribersSomeStalled(t *testing.T) {
	t.Parallel()
	p := spawn(t, settings(t, nil))
	before := resident(t, p.cmd.Process.Pid)
	var quick []*eventStream
	for n := range 200 {
		s := p.mustOpen(t, "", nil)
		if n%4 != 0 {
			quick = append(quick, s) // the others are not read
		}
	}
	const tasks = 120
	var seen atomic.Int64
	var readers sync.WaitGroup
	for _, s := range quick {
		readers.Go(func() {
			for n := 1; n <= tasks; n++ {
				b, err := s.read()
				if err != nil || !strings.HasSuffix(b.id, fmt.Sprint("-", n)) {
					t.Errorf("event %d: %+v, %v", n, b, err)
					return
				}
				seen.Add(1)
			}
		})
	}
	text := strings.Repeat("x", 400)
	metadata := params{"note": strings.Repeat("y", 30_000)}
	for range tasks {
		p.create(t, params{"text": text, "metadata": metadata})
	}
	readers.Wait()
	grown := resident(t, p.cmd.Process.Pid) - before
	t.Logf("%d deliveries of 30 kB, %d MiB more", seen.Load(), grown>>20)
	if grown > withRaceDetector*96<<20 {
		t.Errorf("the coordinator has grown by %d MiB", grown>>20)
	}
	if n := p.scrape(t).values("claudebench_stream_subscribers")["sse"]; n != 200 {
		t.Errorf("%v subscribers", n)
	}
	if n := p.scrape(t).values("claudebench_stream_events_total")["sse"]; n < 150*tasks {
		t.Errorf("%v events are counted", n)
	}
}

// An idle stream costs little.
func TestIdleStreams(t *testing.T) {
	const streams, most = 2000, withRaceDetector * 3 / 2 * 40 << 10
	mayOpen(t, streams)
	p := spawn(t, settings(t, nil))
	addr := strings.TrimPrefix(p.url, "http://")
	p.answersInTime(t)
	before := resident(t, p.cmd.Process.Pid)
	if err := many(streams, func() error {
		conn, err := dial(t, addr)
		if err != nil {
			return err
		}
		if _, err := fmt.Fprintf(conn, "GET /events?types=hook.* HTTP/1.1\r\nHost: %s\r\n\r\n", addr); err != nil {
			return err
		}
		response, err := http.ReadResponse(bufio.NewReaderSize(conn, 512), nil) //nolint:bodyclose // the test closes the connection
		if err != nil || response.StatusCode != http.StatusOK {
			return fmt.Errorf("%+v: %w", response, err)
		}
		return nil
	}); err != nil {
		t.Fatal(err)
	}
	p.answersInTime(t)
	each := (resident(t, p.cmd.Process.Pid) - before) / streams
	t.Logf("%d bytes for each stream", each)
	if each > most {
		t.Errorf("an idle stream costs %d bytes, want %d at most", each, most)
	}
}
