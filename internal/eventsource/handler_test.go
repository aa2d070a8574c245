package eventsource

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/claudebench/claudebench/events"
	"github.com/claudebench/claudebench/internal/logtest"
	"github.com/claudebench/claudebench/internal/testenv"
)

// The golden events arrive as they were written, through the server's timeouts, with their position
// and type.
func TestEventsArrive(t *testing.T) {
	t.Parallel()
	l := logtest.New(t)
	_, server := serveLog(t, l, nil)
	first := l.Add(events.TypeTaskCreated, example, 1)[0]
	all, fresh := open(t, server.URL+"?after=0", nil), open(t, server.URL, nil)
	if got := all.begins().id; got != "0" {
		t.Errorf("all events start at %s", got)
	}
	if got := fresh.begins().id; got != first.String() {
		t.Errorf("new events start at %s, and the log ends at %s", got, first)
	}
	<-time.After(300 * time.Millisecond) // longer than the server's timeouts
	files, err := filepath.Glob("../../events/testdata/*.json")
	if err != nil || len(files) < 20 {
		t.Fatalf("%d golden files, %v", len(files), err)
	}
	var want []events.Envelope
	for _, file := range files {
		text, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		e, err := events.Decode(text)
		if err != nil {
			t.Fatal(err)
		}
		l.Add(e.Type, string(e.Payload), 1)
		want = append(want, e)
	}
	written := l.Entries()
	if m := all.next(); m.id != first.String() || m.data != written[m.id] {
		t.Errorf("the first event is %+v", m)
	}
	for _, e := range want {
		a, b := all.next(), fresh.next()
		if a != b || a.data != written[a.id] || a.event != string(e.Type) {
			t.Errorf("got %+v and %+v", a, b)
		}
	}
}

func TestWhereItStarts(t *testing.T) {
	t.Parallel()
	l := logtest.New(t)
	_, server := serveLog(t, l, nil)
	ids := l.Add(events.TypeTaskCreated, example, 10)
	last := func(id string) func(*http.Request) {
		return func(r *http.Request) { r.Header.Set("Last-Event-ID", id) }
	}
	for _, c := range []struct {
		query string
		head  func(*http.Request)
		next  int
	}{
		{"?after=" + ids[3].String(), nil, 4},
		{"?after=" + ids[3].String(), last(ids[6].String()), 7},
		{"?after=" + ids[3].String(), last("0"), 0},
		{"?after=" + ids[3].String(), last(""), 4},
		{"", last(ids[6].String()), 7},
		{"?after=0&types=&task=&instance=&format=", nil, 0},
		{"?after=0-0", nil, 0},
	} {
		s := open(t, server.URL+c.query, c.head)
		s.begins()
		if m := s.next(); m.id != ids[c.next].String() {
			t.Errorf("%s starts with %s, want %s", c.query, m.id, ids[c.next])
		}
	}
}

func TestSelection(t *testing.T) {
	t.Parallel()
	l := logtest.New(t)
	_, server := serveLog(t, l, nil)
	l.Add(events.TypeTaskCreated, `{"id":"a&b\"c"}`, 1)
	l.Add(events.TypeTaskClaimed, `{"taskId":"a&b\"c","workerId":"w é"}`, 1)
	l.Add(events.TypeTaskCreated, `{"id":"t-2"}`, 1)
	for query, want := range map[string]string{
		"types=task.claimed":                                  "2",
		"types=task.created":                                  "1 3",
		"types=hook.*,task.created,instance.failed":           "1 3",
		"task=" + url.QueryEscape(`a&b"c`):                    "1 2",
		"instance=" + url.QueryEscape("w é"):                  "2",
		"types=task.created&task=" + url.QueryEscape(`a&b"c`): "1",
	} {
		s := open(t, server.URL+"?after=0&"+query, nil)
		s.begins()
		for seq := range strings.FieldsSeq(want) {
			if m := s.next(); !strings.HasSuffix(m.id, "-"+seq) {
				t.Errorf("%s: got %s, want %s", query, m.id, seq)
			}
		}
	}
}

func TestBadRequests(t *testing.T) {
	t.Parallel()
	_, server := serveLog(t, logtest.New(t), nil)
	type answer struct {
		StatusCode int
		Header     http.Header
	}
	ask := func(method, query string, head http.Header) (answer, string) {
		request, err := http.NewRequestWithContext(t.Context(), method, server.URL+query, nil)
		if err != nil {
			t.Fatal(err)
		}
		request.Header = head
		response, err := server.Client().Do(request)
		if err != nil {
			t.Fatal(err)
		}
		defer response.Body.Close()
		text, _ := io.ReadAll(response.Body)
		return answer{response.StatusCode, response.Header}, string(text)
	}
	for query, want := range map[string]string{
		"?since=1":                     "unknown parameter",
		"?from=yesterday":              "from is",
		"?to=-1":                       "to is",
		"?from=1&after=1-1":            "two places",
		"?after=1&after=2":             "repeated",
		"?after=yesterday":             "ID of an event",
		"?after=-1":                    "ID of an event",
		"?after=01-1":                  "ID of an event",
		"?after=1-9223372036854775808": "ID of an event",
		"?after=%24":                   "ID of an event",
		"?types=task*":                 "types must be",
		"?types=task.*,":               "types must be",
		"?types=" + strings.Repeat("a,", 200) + "a": "at most 100",
		"?format=xml":                           "must be cloudevents",
		"?task=" + strings.Repeat("x", 257):     "at most 256",
		"?instance=" + strings.Repeat("x", 257): "at most 256",
		"?types=%zz":                            "not valid",
		"?types=a;b=c":                          "not valid",
		"?" + strings.Repeat("x", 5000):         "unknown parameter",
	} {
		response, text := ask(http.MethodGet, query, nil)
		if response.StatusCode != http.StatusBadRequest || !strings.Contains(text, `{"error":{"code":-32602,`) || !strings.Contains(text, want) || len(text) > 1000 {
			t.Errorf("%.60s: %d %s", query, response.StatusCode, text)
		}
	}
	for _, head := range []http.Header{{"Last-Event-Id": {"x"}}, {"Last-Event-Id": {"1-1", "1-2"}}} {
		if response, text := ask(http.MethodGet, "", head); response.StatusCode != http.StatusBadRequest || !strings.Contains(text, "Last-Event-ID") {
			t.Errorf("%v: %d %s", head, response.StatusCode, text)
		}
	}
	if response, text := ask(http.MethodPost, "", nil); response.StatusCode != http.StatusMethodNotAllowed || response.Header.Get("Allow") != "GET, HEAD" || !strings.Contains(text, "-32600") {
		t.Errorf("POST: %d %s", response.StatusCode, text)
	}
	if response, _ := ask(http.MethodHead, "", nil); response.StatusCode != http.StatusOK || response.Header.Get("Content-Type") != "text/event-stream" {
		t.Errorf("HEAD: %d %v", response.StatusCode, response.Header)
	}
	if response, _ := ask(http.MethodHead, "?x=1", nil); response.StatusCode != http.StatusBadRequest {
		t.Errorf("HEAD of a bad request: %d", response.StatusCode)
	}
}

// Silence is broken by the position, also of events that were left out.
func TestHeartbeats(t *testing.T) {
	t.Parallel()
	l := logtest.New(t)
	_, server := serveLog(t, l, func(o *Options) { o.Heartbeat = 20 * time.Millisecond })
	s := open(t, server.URL+"?types=hook.*", nil)
	s.begins()
	if m := s.next(); m != (message{id: "0", comment: "heartbeat"}) {
		t.Errorf("got %+v", m)
	}
	id := l.Add(events.TypeTaskCreated, example, 3)[2].String()
	for s.lastID != id {
		if m := s.next(); m.comment != "heartbeat" || m.event != "" || m.data != "" {
			t.Fatalf("got %+v", m)
		}
	}
}

func TestGapsAreTold(t *testing.T) {
	t.Parallel()
	l := logtest.New(t)
	_, server := serveLog(t, l, nil)
	ids := l.Add(events.TypeTaskCreated, example, 10)
	l.Trim(ids[5])
	for _, query := range []string{"?after=0", "?after=0&types=task.created&format=cloudevents", "?after=0&types=hook.*"} {
		s := open(t, server.URL+query, nil)
		s.begins()
		m := s.next()
		if m.event != "gap" || m.data != `{"from":1,"to":5,"reason":"trimmed"}` {
			t.Fatalf("%s: got %+v", query, m)
		}
		again := open(t, server.URL+"?after="+m.id, nil)
		again.begins()
		if m := again.next(); m.id != ids[5].String() {
			t.Errorf("resuming at the gap gives %+v", m)
		}
	}
	lost := ids[9].String()
	l.RollBack(ids[7])
	again := l.Add(events.TypeTaskCreated, example, 1)[0]
	s := open(t, server.URL+"?after="+lost, nil)
	s.begins()
	if m := s.next(); m.event != "gap" || m.id != ids[7].String() || m.data != fmt.Sprintf(`{"from":9,"to":10,"reason":"rolled_back","last":"%s"}`, again) {
		t.Errorf("got %+v", m)
	}
	if m := s.next(); m.id != again.String() {
		t.Errorf("then %+v", m)
	}
}

// The text of users cannot begin a field of the stream.
func TestNoEventBreaksTheStream(t *testing.T) {
	t.Parallel()
	l := logtest.New(t)
	_, server := serveLog(t, l, nil)
	l.Add(events.TypeTaskCreated, `{"id":"t","text":"a\n\ndata: x\r\n \u2028"}`, 1)
	l.Raw(func(id events.ID) string {
		return fmt.Sprintf("{\"id\":%q,\r\n \"seq\":%d,\"type\":\"a\\nevent: end\\r\\n\",\"v\":1,\n\"timestamp\":%d,\"actor\":\"\\u0001\\n\",\"cause\":\"\\n\",\"trace\":null,\"payload\":{\n\"x\":\r1}}", id, id.Seq, id.MS)
	})
	l.Add(events.TypeTaskCreated, example, 1)
	for _, format := range []string{"", "cloudevents"} {
		s := open(t, server.URL+"?after=0&format="+format, nil)
		s.begins()
		for seq := 1; seq <= 3; seq++ {
			m := s.next()
			if !strings.HasSuffix(m.id, fmt.Sprint("-", seq)) || !json.Valid([]byte(m.data)) || m.event == "end" {
				t.Errorf("event %d: %+v", seq, m)
			}
		}
	}
}

// A part of the log ends after its last event, also for a client that gets none.
func TestPartOfTheLog(t *testing.T) {
	t.Parallel()
	l := logtest.New(t)
	_, server := serveLog(t, l, nil)
	ids := l.Add(events.TypeTaskCreated, example, 900)
	for query, want := range map[string][2]int{
		fmt.Sprintf("?from=%s&to=%s", ids[3], ids[5]):               {3, 5},
		fmt.Sprintf("?from=%d&to=%d", ids[0].MS, ids[899].MS):       {0, 899},
		fmt.Sprintf("?to=%s", ids[0]):                               {1, 0}, // new events only
		fmt.Sprintf("?after=%s&to=%s", ids[890], ids[899]):          {891, 899},
		fmt.Sprintf("?after=0&to=%s&types=hook.*", ids[899]):        {1, 0},
		fmt.Sprintf("?from=%s&to=%s&task=none", ids[400], ids[899]): {1, 0},
		fmt.Sprintf("?from=%s&to=%s&task=t-1", ids[400], ids[700]):  {400, 700},
		fmt.Sprintf("?from=%s&to=2100-01-01T00:00:00Z", ids[898]):   {898, 899}, // not what comes later
		"?from=2100-01-01T00:00:00Z&to=2100-01-01T00:00:00Z":        {1, 0},
	} {
		s := open(t, server.URL+query, nil)
		s.begins()
		for i := want[0]; i <= want[1]; i++ {
			if m := s.next(); m.id != ids[i].String() {
				t.Fatalf("%s: got %+v, want %s", query, m, ids[i])
			}
		}
		if m := s.next(); m.event != "end" || !strings.HasPrefix(m.data, `{"reason":"done","after":"`) {
			t.Errorf("%s: then %+v", query, m)
		}
	}
}

func TestCloudEvents(t *testing.T) {
	t.Parallel()
	l := logtest.New(t)
	_, server := serveLog(t, l, nil)
	cause, trace := "c\u0085-1", "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
	id := l.Raw(func(id events.ID) string {
		text, err := events.Envelope{
			ID: id, Seq: id.Seq, Type: "task.claimed", V: 1, Timestamp: id.MS, Actor: "agent/w", Cause: &cause, Trace: &trace,
			Payload: json.RawMessage(`{"taskId":"t-1","workerId":"w","big":12345678901234567890}`),
		}.Encode()
		if err != nil {
			t.Error(err)
		}
		return string(text)
	})
	plain := l.Add(events.TypeSystemFlushed, `{}`, 1)[0]
	s := open(t, server.URL+"?after=0&format=cloudevents", nil)
	s.begins()
	want := fmt.Sprintf(`{"specversion":"1.0","id":"%s","source":"/claudebench/ns","type":"io.github.claudebench.task.claimed","time":"%s",`+
		`"subject":"t-1","datacontenttype":"application/json","sequence":"0000000000000000001","correlationid":"c%s-1","traceparent":"%s","actor":"agent/w",`+
		`"payloadversion":1,"data":{"taskId":"t-1","workerId":"w","big":12345678901234567890}}`,
		id, time.UnixMilli(id.MS).UTC().Format("2006-01-02T15:04:05.000Z"), "\ufffd", trace)
	if m := s.next(); m.event != "task.claimed" || m.data != want {
		t.Errorf("got  %s\nwant %s", m.data, want)
	}
	var got map[string]any
	if m := s.next(); m.id != plain.String() || json.Unmarshal([]byte(m.data), &got) != nil || got["subject"] != nil || got["correlationid"] != nil || got["traceparent"] != nil {
		t.Errorf("got %+v", m)
	}
}

// A client that reads nothing is dropped after a while, and delays nobody meanwhile.
func TestStalledClientIsDropped(t *testing.T) {
	t.Parallel()
	l := logtest.New(t)
	hub, server := serveLog(t, l, func(o *Options) { o.WriteWithin = 500 * time.Millisecond })
	text := fmt.Sprintf(`{"id":"t","text":%q}`, strings.Repeat("x", 50_000))
	conn, err := net.Dial("tcp", strings.TrimPrefix(server.URL, "http://"))
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	_ = conn.(*net.TCPConn).SetReadBuffer(4096)
	if _, err := io.WriteString(conn, "GET / HTTP/1.1\r\nHost: x\r\n\r\n"); err != nil {
		t.Fatal(err)
	}
	reading := open(t, server.URL, nil)
	reading.begins()
	testenv.Eventually(t, patience, func() (bool, string) {
		for _, id := range l.Add(events.TypeTaskCreated, text, 20) {
			if m := reading.next(); m.id != id.String() {
				t.Fatalf("got %s, want %s", m.id, id)
			}
		}
		c := hub.Counts()
		return c.Ended["slow"] == 1 && c.Subscribers["sse"] == 1, fmt.Sprintf("%+v", c)
	})
}

// A stop ends streams at once, also those whose client reads nothing.
func TestStop(t *testing.T) {
	t.Parallel()
	l := logtest.New(t)
	hub, server := serveLog(t, l, nil)
	s := open(t, server.URL, nil)
	s.begins()
	conn, err := net.Dial("tcp", strings.TrimPrefix(server.URL, "http://"))
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	_ = conn.(*net.TCPConn).SetReadBuffer(4096)
	if _, err := io.WriteString(conn, "GET /?after=0 HTTP/1.1\r\nHost: x\r\n\r\n"); err != nil {
		t.Fatal(err)
	}
	text := fmt.Sprintf(`{"id":"t","text":%q}`, strings.Repeat("x", 100_000))
	var last string
	for range 60 { // more than the kernel buffers
		last = l.Add(events.TypeTaskCreated, text, 2)[1].String()
		s.next()
		s.next()
	}
	began := time.Now()
	hub.Stop()
	if m := s.next(); m.event != "end" || m.data != `{"reason":"stopping","after":"`+last+`"}` {
		t.Errorf("got %+v", m)
	}
	if _, err := s.read(); !errors.Is(err, io.EOF) {
		t.Errorf("then %v", err)
	}
	testenv.Eventually(t, patience, func() (bool, string) {
		n := hub.Counts().Subscribers["sse"]
		return n == 0, fmt.Sprintf("%d subscribers after the stop", n)
	})
	if took := time.Since(began); took > 5*time.Second {
		t.Errorf("it took %s", took)
	}
	if response := open(t, server.URL, nil).response; response.StatusCode != http.StatusServiceUnavailable || response.Header.Get("Retry-After") == "" {
		t.Errorf("a later stream: %d", response.StatusCode)
	}
}

func TestTokenIsGone(t *testing.T) {
	t.Parallel()
	l := logtest.New(t)
	var valid atomic.Bool
	valid.Store(true)
	hub, server := serveLog(t, l, func(o *Options) {
		o.Still = func(r *http.Request) bool { return valid.Load() || r.Header.Get("X") != "" }
	})
	gone, stays := open(t, server.URL, nil), open(t, server.URL, func(r *http.Request) { r.Header.Set("X", "x") })
	gone.begins()
	stays.begins()
	valid.Store(false)
	hub.Recheck()
	if m := gone.next(); m.event != "end" || m.data != `{"reason":"token","after":"0"}` {
		t.Errorf("got %+v", m)
	}
	id := l.Add(events.TypeTaskCreated, example, 1)[0].String()
	if m := stays.next(); m.id != id {
		t.Errorf("the other stream got %+v", m)
	}
}
