package main

import (
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	tracepb "go.opentelemetry.io/proto/otlp/trace/v1"

	"github.com/claudebench/claudebench/internal/testenv"
)

// A caller's trace, its span in it, and the header with both.
const (
	callersTrace = "4bf92f3577b34da6a3ce929d0e0e4736"
	callersSpan  = "00f067aa0ba902b7"
	sampled      = "00-" + callersTrace + "-" + callersSpan + "-01"
)

// traced is a coordinator with Redis and Postgres that exports traces as env says.
type traced struct {
	*child
	url, namespace string
}

func serveTraced(t *testing.T, env ...string) *traced {
	t.Helper()
	namespace := testenv.Namespace(t)
	c := launch(t, append([]string{"CB_DATABASE_URL=" + testenv.Postgres(t), "OTEL_BSP_SCHEDULE_DELAY=20"}, env...),
		"serve", "--listen", "127.0.0.1:0", "--redis-url", testenv.Redis(t).URL(), "--namespace", namespace)
	return &traced{c, "http://" + c.address(t), namespace}
}

// post sends a body with a traceparent and returns the response body.
func (s *traced) post(t *testing.T, path, traceparent, body string) string {
	t.Helper()
	r, err := http.NewRequestWithContext(t.Context(), http.MethodPost, s.url+path, strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	r.Header.Set("Content-Type", "application/json")
	r.Header.Set("Accept", "application/json, text/event-stream")
	r.Header.Set("Authorization", "Bearer tr0ub4dor")
	if traceparent != "" {
		r.Header.Set("traceparent", traceparent)
	}
	response, err := http.DefaultClient.Do(r)
	if err != nil {
		t.Fatal(err)
	}
	defer response.Body.Close()
	text, err := io.ReadAll(response.Body)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

func request(method, params string) string {
	return `{"jsonrpc":"2.0","id":1,"method":"` + method + `","params":` + params + `}`
}

// logged returns the traces of the log's events by type.
func (s *traced) logged(t *testing.T) map[string][]string {
	t.Helper()
	entries, err := testenv.Client(t).XRange(t.Context(), "cb:{"+s.namespace+"}:stream:events", "-", "+").Result()
	if err != nil {
		t.Fatal(err)
	}
	all := map[string][]string{}
	for _, entry := range entries {
		var e struct {
			Type  string
			Trace *string
		}
		if err := json.Unmarshal([]byte(entry.Values["data"].(string)), &e); err != nil {
			t.Fatal(err)
		}
		trace := "null"
		if e.Trace != nil {
			trace = *e.Trace
		}
		all[e.Type] = append(all[e.Type], trace)
	}
	return all
}

// below returns the paths of the projections' spans for an event of a command.
func below(command string) []string {
	return []string{command + "/apply state", command + "/apply metrics", command + "/apply tasks", command + "/apply events"}
}

// The command, its scripts and the projections of its events are in the caller's trace, each below
// its cause. They contain no user data.
func TestTracesJoinTheCallers(t *testing.T) {
	t.Parallel()
	c := collectHTTP(t)
	s := serveTraced(t, "OTEL_EXPORTER_OTLP_ENDPOINT="+c.url, "OTEL_EXPORTER_OTLP_HEADERS=authorization=Basic%20abc", "OTEL_SERVICE_NAME=fleet-7")
	before := time.Now()
	s.post(t, "/rpc", sampled, request("task.create", `{"text":"hush-hush","metadata":{"hush":"hush-hush"}}`))
	spans := c.tree(t, callersTrace, callersSpan, append(below("task.create"), "task.create", "task.create/create_task")...)

	command := named(t, spans, "task.create")
	command.has(t, map[string]string{"rpc.system.name": "jsonrpc", "rpc.method": "task.create", "rpc.response.status_code": ""})
	script := named(t, spans, "create_task")
	script.has(t, map[string]string{"db.system.name": "redis", "db.stored_procedure.name": "create_task"})
	tasks := named(t, spans, "apply tasks")
	tasks.has(t, map[string]string{"claudebench.projection": "tasks", "claudebench.event.type": "task.created", "claudebench.event.seq": "1"})
	if command.kind != tracepb.Span_SPAN_KIND_SERVER || script.kind != tracepb.Span_SPAN_KIND_CLIENT || tasks.kind != tracepb.Span_SPAN_KIND_CONSUMER {
		t.Errorf("kinds are %v, %v, %v", command.kind, script.kind, tasks.kind)
	}
	if command.start.Before(before) || script.start.Before(command.start) || script.end.After(command.end) ||
		tasks.start.Before(script.start) || !tasks.end.After(tasks.start) {
		t.Errorf("the times do not fit: %+v", spans)
	}
	if got := s.logged(t)["task.created"]; !slices.Equal(got, []string{"00-" + callersTrace + "-" + command.id + "-01"}) {
		t.Errorf("the event's trace is %v, and the command's span %s", got, command.id)
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.service != "fleet-7" || !slices.Contains(c.headers, "Basic abc") {
		t.Errorf("service %q, authorizations %v", c.service, c.headers)
	}
	for _, secret := range []string{"hush", "tr0ub4dor"} {
		if strings.Contains(string(c.raw), secret) {
			t.Errorf("%q is in what the collector got", secret)
		}
	}
}

// Each call of a batch has its own spans for the command and its script, over every transport. A
// command that runs several scripts has a span for each.
func TestTracesByEveryPath(t *testing.T) {
	t.Parallel()
	c := collectHTTP(t)
	s := serveTraced(t, "OTEL_TRACES_EXPORTER=otlp", "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT="+c.url+"/v1/traces")
	created := append(below("task.create"), "task.create", "task.create/create_task")
	for i, by := range []struct{ path, body string }{
		{"/rpc", request("task.create", `{"text":"a"}`)},
		{"/api/task/create", `{"text":"b"}`},
		{"/mcp", `{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"task_create","arguments":{"text":"c"}}}`},
	} {
		trace := fmt.Sprintf("%032d", i+1)
		s.post(t, by.path, "00-"+trace+"-"+callersSpan+"-01", by.body)
		c.tree(t, trace, callersSpan, created...)
	}
	for i, path := range []string{"/rpc", "/rpc/batch"} {
		trace := fmt.Sprintf("%032d", i+11)
		s.post(t, path, "00-"+trace+"-"+callersSpan+"-01", "["+request("task.create", `{"text":"d"}`)+","+request("task.complete", `{"id":"t-999"}`)+"]")
		spans := c.tree(t, trace, callersSpan, slices.Concat(created, []string{"task.complete", "task.complete/complete_task"})...)
		refused := named(t, spans, "task.complete")
		refused.has(t, map[string]string{"rpc.response.status_code": "-32004", "error.type": "refused"})
		if refused.status != tracepb.Status_STATUS_CODE_UNSET {
			t.Errorf("what the caller asked for wrongly is told as a failure: %v", refused.status)
		}
	}
	trace := fmt.Sprintf("%032d", 21)
	s.post(t, "/rpc", "00-"+trace+"-"+callersSpan+"-01", request("system.register", `{"id":"w","roles":["worker"],"metadata":{"maxTasks":1}}`))
	// One task is assigned and the first instance is elected, which makes two more events.
	want := []string{"system.register", "system.register/register_instance", "system.register/update_gossip_health", "system.register/auto_assign_tasks"}
	for range 3 {
		want = append(want, below("system.register")...)
	}
	c.tree(t, trace, callersSpan, want...)
}

// An unsampled caller gets no spans, and its events keep the caller's traceparent. A caller without
// a trace starts a new one.
func TestTracesHeedTheCallersSampling(t *testing.T) {
	t.Parallel()
	c := collectGRPC(t)
	s := serveTraced(t, "OTEL_EXPORTER_OTLP_ENDPOINT="+c.url, "OTEL_EXPORTER_OTLP_PROTOCOL=grpc")
	const unsampled = "00-11111111111111111111111111111111-" + callersSpan + "-00"
	s.post(t, "/rpc", unsampled, request("task.create", `{"text":"a"}`))
	s.post(t, "/rpc", "", request("task.create", `{"text":"b"}`))
	var own string
	testenv.Eventually(t, 10*time.Second, func() (bool, string) {
		got := s.logged(t)["task.created"]
		if len(got) != 2 || got[0] != unsampled || len(got[1]) != len(sampled) {
			t.Fatalf("the events' traces are %v", got)
		}
		own = got[1][3:35]
		return len(c.of(own)) == 6, fmt.Sprintf("the trace has %+v", c.of(own))
	})
	c.tree(t, own, "", append(below("task.create"), "task.create", "task.create/create_task")...)
	// Spans are exported in the order in which they ended, so those of the first call would be here
	// by now.
	if spans := c.of(unsampled[3:35]); len(spans) != 0 {
		t.Errorf("unsampled, and yet there are %+v", spans)
	}
}

// The monitor checks for dead instances every few milliseconds without a trace, and the events that
// it writes have none either.
func TestTracesOfTheMonitorAreNone(t *testing.T) {
	t.Parallel()
	c := collectHTTP(t)
	s := serveTraced(t, "OTEL_EXPORTER_OTLP_ENDPOINT="+c.url, "CB_INSTANCE_TTL=300ms", "CB_MONITOR_INTERVAL=20ms")
	s.post(t, "/rpc", "", request("system.register", `{"id":"w","roles":[]}`))
	testenv.Eventually(t, 10*time.Second, func() (bool, string) {
		got := s.logged(t)["instance.failed"]
		return slices.Equal(got, []string{"null"}), fmt.Sprintf("the traces of instance.failed are %v", got)
	})
	s.post(t, "/rpc", sampled, request("task.create", `{"text":"a"}`))
	c.tree(t, callersTrace, callersSpan, append(below("task.create"), "task.create", "task.create/create_task")...)
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, seen := range c.spans {
		if seen.parent == "" && seen.name != "system.register" {
			t.Errorf("a trace that nobody asked for: %+v", seen)
		}
	}
}

// Unless a variable switches traces on, or if one switches them off, there are no spans, and events
// keep the caller's traceparent.
func TestTracesAreOffUnlessAskedFor(t *testing.T) {
	t.Parallel()
	c := collectHTTP(t)
	for name, env := range map[string][]string{
		"nothing":  {"OTEL_SERVICE_NAME=fleet-7"},
		"none":     {"OTEL_TRACES_EXPORTER=none", "OTEL_EXPORTER_OTLP_ENDPOINT=" + c.url},
		"disabled": {"OTEL_SDK_DISABLED=true", "OTEL_EXPORTER_OTLP_ENDPOINT=" + c.url},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := serveTraced(t, env...)
			s.post(t, "/rpc", sampled, request("task.create", `{"text":"a"}`))
			s.post(t, "/rpc", "", request("task.create", `{"text":"b"}`))
			if got := s.logged(t)["task.created"]; !slices.Equal(got, []string{sampled, "null"}) {
				t.Errorf("the events' traces are %v", got)
			}
			s.signal(t, syscall.SIGTERM)
			if code := s.ended(t); code != 0 || strings.Contains(s.log.String(), "traces") {
				t.Errorf("code %d:\n%s", code, s.log)
			}
			if spans := c.of(callersTrace); len(spans) != 0 {
				t.Errorf("switched off, and yet there are %+v", spans)
			}
		})
	}
}

// Remaining spans are exported when the program stops.
func TestTracesAreSentAtTheEnd(t *testing.T) {
	t.Parallel()
	c := collectHTTP(t)
	s := serveTraced(t, "OTEL_EXPORTER_OTLP_ENDPOINT="+c.url, "OTEL_BSP_SCHEDULE_DELAY=600000")
	s.post(t, "/rpc", sampled, request("task.get", `{"id":"t-1"}`))
	if spans := c.of(callersTrace); len(spans) != 0 {
		t.Fatalf("already there: %+v", spans)
	}
	s.signal(t, syscall.SIGTERM)
	if code := s.ended(t); code != 0 || len(c.of(callersTrace)) != 2 {
		t.Errorf("code %d, spans %+v", code, c.of(callersTrace))
	}
}

// A collector that is unavailable, rejects spans or hangs neither fails nor delays calls, is logged
// once, and does not delay the exit.
func TestTracesAreLostQuietly(t *testing.T) {
	t.Parallel()
	gone, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	gone.Close()
	refuses := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { http.Error(w, "no", http.StatusForbidden) }))
	busy := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Retry-After", "3600")
		http.Error(w, "later", http.StatusServiceUnavailable)
	}))
	over := make(chan struct{})
	asked := make(chan struct{}, 100)
	hangs := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) {
		asked <- struct{}{}
		<-over
	}))
	t.Cleanup(func() {
		close(over)
		for _, server := range []*httptest.Server{refuses, busy, hangs} {
			server.Close()
		}
	})
	for name, by := range map[string]struct {
		url  string
		told bool // the failure is logged before the program stops
	}{"gone": {"http://" + gone.Addr().String(), true}, "refuses": {refuses.URL, true}, "busy": {busy.URL, false}, "hangs": {hangs.URL, false}} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := serveTraced(t, "OTEL_EXPORTER_OTLP_ENDPOINT="+by.url, "OTEL_BSP_SCHEDULE_DELAY=1", "OTEL_BSP_MAX_QUEUE_SIZE=8", "OTEL_BSP_MAX_EXPORT_BATCH_SIZE=4")
			if name == "hangs" {
				s.post(t, "/rpc", sampled, request("task.create", `{"text":"x"}`))
				<-asked // from now on nothing leaves the queue
			}
			const calls = 100
			began := time.Now()
			for range calls {
				if answer := s.post(t, "/rpc", sampled, request("task.create", `{"text":"x"}`)); !strings.Contains(answer, `"result"`) {
					t.Fatal(answer)
				}
			}
			// A call takes a few ms; one that waited for an export would take ten seconds.
			if took := time.Since(began); took > 9*time.Second {
				t.Errorf("%d calls took %v", calls, took)
			}
			if by.told {
				testenv.Eventually(t, 10*time.Second, func() (bool, string) {
					return strings.Contains(s.log.String(), "rejects traces"), s.log.String()
				})
			}
			began = time.Now()
			s.signal(t, syscall.SIGTERM)
			if code := s.ended(t); code != 0 {
				t.Errorf("code %d", code)
			}
			if took := time.Since(began); took > 15*time.Second {
				t.Errorf("the end took %v", took)
			}
			log := s.log.String()
			if n := strings.Count(log, "rejects traces"); n > 1 || by.told && n != 1 {
				t.Errorf("told %d times", n)
			}
			for _, line := range s.log.lines() {
				if !json.Valid([]byte(line)) {
					t.Errorf("something else writes to the log: %s", line)
				}
			}
		})
	}
}

// An invalid variable stops startup. The error shows its value only if the value cannot hold a
// secret.
func TestTracesRefuseWrongVariables(t *testing.T) {
	t.Parallel()
	for variable, want := range map[string]string{
		"OTEL_TRACES_EXPORTER=jaeger":                        "otlp or none",
		"OTEL_EXPORTER_OTLP_HEADERS=tr0ub4dor":               "name=value",
		"OTEL_EXPORTER_OTLP_ENDPOINT=tr0ub4dor@somewhere:80": "http://localhost:4318",
	} {
		name, _, _ := strings.Cut(variable, "=")
		r := execute(t, []string{"OTEL_EXPORTER_OTLP_TRACES_ENDPOINT=http://localhost:4318", variable},
			"serve", "--listen", "127.0.0.1:0", "--redis-url", testenv.Redis(t).URL())
		if r.code != 1 || !strings.Contains(r.log, name) || !strings.Contains(r.log, want) || strings.Contains(r.log, "tr0ub4dor") {
			t.Errorf("%s: code %d, %q", variable, r.code, r.log)
		}
	}
}
