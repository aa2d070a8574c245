package mcpstdio

import (
	"bytes"
	"context"
	"encoding/json"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	sdk "github.com/modelcontextprotocol/go-sdk/mcp"

	"github.com/claudebench/claudebench/client"
	"github.com/claudebench/claudebench/commands"
	"github.com/claudebench/claudebench/internal/config"
	"github.com/claudebench/claudebench/internal/mcp"
	coordinator "github.com/claudebench/claudebench/internal/server"
	"github.com/claudebench/claudebench/internal/testenv"
)

func TestMain(m *testing.M) { testenv.Main(m) }

type params = map[string]any

// fleet is a coordinator and what a test does to the requests that agents send it.
type fleet struct {
	url string // of the coordinator
	via string // of the proxy in front of it

	mu     sync.Mutex
	answer func(tool string, w http.ResponseWriter, response []byte) bool
	calls  map[string]int // by tool
	sent   []message
}

// message is what tests look at in a request.
type message struct {
	Method string
	Params struct {
		Name      string         // of a tool
		Meta      map[string]any `json:"_meta"`
		TTLMs     int64          // of system.register
		SessionID string         // of system.unregister
		Metadata  struct{ SessionID string }
	}
}

func settings(t *testing.T) *config.Config {
	t.Helper()
	return &config.Config{
		Listen: "127.0.0.1:0", Namespace: testenv.Namespace(t), RedisURL: testenv.Redis(t).URL(), DatabaseURL: testenv.Postgres(t),
		InstanceTTL: 30 * time.Second, MonitorInterval: 100 * time.Millisecond, TaskRetention: time.Hour, MaxLosses: 10, RateLimits: config.RateLimits{Off: true},
	}
}

func startCoordinator(t *testing.T, cfg *config.Config) string {
	t.Helper()
	s, err := coordinator.Start(t.Context(), cfg, coordinator.Options{Logger: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := s.Stop(context.Background()); err != nil {
			t.Error(err)
		}
	})
	return "http://" + s.Addr()
}

// start starts a coordinator and a proxy in front of it.
func start(t *testing.T) *fleet {
	t.Helper()
	f := &fleet{url: startCoordinator(t, settings(t)), calls: map[string]int{}}
	testenv.Eventually(t, 30*time.Second, func() (bool, string) { // with Postgres
		request, err := http.NewRequestWithContext(t.Context(), http.MethodGet, f.url+"/readyz", nil)
		if err != nil {
			return false, err.Error()
		}
		response, err := http.DefaultClient.Do(request)
		if err != nil {
			return false, err.Error()
		}
		defer response.Body.Close()
		text, err := io.ReadAll(response.Body)
		return err == nil && strings.Contains(string(text), `"degraded":false`), string(text)
	})
	proxy := httptest.NewServer(f)
	t.Cleanup(proxy.Close)
	f.via = proxy.URL
	return f
}

// on makes answer decide on the answers to tools from now on. If it returns false, the answer goes
// to the agent as it is.
func (f *fleet) on(answer func(tool string, w http.ResponseWriter, response []byte) bool) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.answer = answer
}

func (f *fleet) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	body, err := io.ReadAll(r.Body)
	if err != nil {
		return
	}
	// A proxy that hangs up with its client: whoever gave up a claim claims nothing.
	request, err := http.NewRequestWithContext(r.Context(), r.Method, f.url+r.URL.Path, bytes.NewReader(body))
	if err != nil {
		return
	}
	request.Header = r.Header.Clone()
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		return
	}
	defer response.Body.Close()
	text, err := io.ReadAll(response.Body)
	if err != nil {
		return
	}
	var m message
	_ = json.Unmarshal(body, &m) // requests without a tool are passed on
	f.mu.Lock()
	f.calls[m.Params.Name]++
	f.sent = append(f.sent, m)
	answer := f.answer
	f.mu.Unlock()
	if answer != nil && m.Params.Name != "" && answer(m.Params.Name, w, text) {
		return
	}
	w.Header().Set("Content-Type", response.Header.Get("Content-Type"))
	w.WriteHeader(response.StatusCode)
	_, _ = w.Write(text)
}

// last returns the last request with a method, or for a tool.
func (f *fleet) last(t *testing.T, of string) message {
	t.Helper()
	f.mu.Lock()
	defer f.mu.Unlock()
	for _, m := range slices.Backward(f.sent) {
		if m.Method == of || m.Params.Name == of {
			return m
		}
	}
	t.Fatalf("there is no request %s", of)
	return message{}
}

// hangUp closes the connection without an answer.
func hangUp(w http.ResponseWriter) {
	conn, _, err := http.NewResponseController(w).Hijack()
	if err == nil {
		_ = conn.Close()
	}
}

// direct calls a method of the coordinator as somebody else.
func (f *fleet) direct(t *testing.T, method string, p params) params {
	t.Helper()
	body := encode(params{"jsonrpc": "2.0", "id": 1, "method": method, "params": p})
	request, err := http.NewRequestWithContext(context.Background(), http.MethodPost, f.url+"/rpc", bytes.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	request.Header.Set("Content-Type", "application/json")
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		t.Fatal(err)
	}
	defer response.Body.Close()
	var answer struct {
		Result params
		Error  any
	}
	if err := json.NewDecoder(response.Body).Decode(&answer); err != nil || answer.Error != nil {
		t.Fatalf("%s %v: %v %v", method, p, answer.Error, err)
	}
	return answer.Result
}

// metrics returns the coordinator's metrics.
func (f *fleet) metrics(t *testing.T) string {
	t.Helper()
	request, err := http.NewRequestWithContext(t.Context(), http.MethodGet, f.url+"/metrics", nil)
	if err != nil {
		t.Fatal(err)
	}
	response, err := http.DefaultClient.Do(request)
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

// alive reports whether an instance is registered.
func (f *fleet) alive(t *testing.T, id string) bool {
	t.Helper()
	instances, _ := f.direct(t, "system.get_state", nil)["instances"].([]any)
	for _, i := range instances {
		if i.(params)["id"] == id {
			return true
		}
	}
	return false
}

// agent is a client of a server of this package.
type agent struct {
	*sdk.ClientSession
	id       string
	progress chan *sdk.ProgressNotificationParams
	changed  chan struct{} // a value for each change of the list of tools
	log      *testenv.Screen
	stop     context.CancelFunc // as a signal does
	in       io.Closer          // of the server
	ended    chan error
}

// agent starts a server and a client of it. Both end with the test.
func (f *fleet) agent(t *testing.T, change func(*Options)) *agent {
	t.Helper()
	serverIn, clientOut := io.Pipe()
	clientIn, serverOut := io.Pipe()
	a := &agent{
		id: "a", progress: make(chan *sdk.ProgressNotificationParams, 100), changed: make(chan struct{}, 100),
		log: new(testenv.Screen), in: clientOut, ended: make(chan error, 1),
	}
	methods, err := commands.Methods()
	if err != nil {
		t.Fatal(err)
	}
	tools, err := mcp.Tools(methods)
	if err != nil {
		t.Fatal(err)
	}
	transport := http.DefaultTransport.(*http.Transport).Clone()
	t.Cleanup(transport.CloseIdleConnections)
	calls, err := client.New(f.via, "", client.WithHTTPClient(&http.Client{Transport: transport}), client.WithRetry(0))
	if err != nil {
		t.Fatal(err)
	}
	o := Options{
		Coordinator: calls, ID: "a", Roles: []string{"worker"}, MaxTasks: 1, TTL: 5 * time.Second, Tools: tools,
		Version: "v1", Log: slog.New(slog.NewTextHandler(a.log, nil)), In: serverIn, Out: serverOut, Progress: 20 * time.Millisecond, Look: time.Nanosecond,
	}
	if change != nil {
		change(&o)
	}
	a.id = o.ID
	ctx, stop := context.WithCancel(context.Background())
	a.stop = stop
	go func() {
		a.ended <- Run(ctx, o)
		_ = serverOut.Close()
	}()
	model := sdk.NewClient(&sdk.Implementation{Name: "test", Version: "1"}, &sdk.ClientOptions{
		ProgressNotificationHandler: func(_ context.Context, r *sdk.ProgressNotificationClientRequest) { a.progress <- r.Params },
		ToolListChangedHandler:      func(context.Context, *sdk.ToolListChangedRequest) { a.changed <- struct{}{} },
	})
	if a.ClientSession, err = model.Connect(t.Context(), &sdk.IOTransport{Reader: clientIn, Writer: clientOut}, nil); err != nil {
		t.Fatalf("%v\n%s", err, a.log)
	}
	t.Cleanup(func() {
		a.leave(t)
		stop()
	})
	return a
}

// leave closes the server's input and waits for its end.
func (a *agent) leave(t *testing.T) {
	t.Helper()
	_ = a.in.Close()
	_ = a.Close()
	a.wait(t)
}

func (a *agent) wait(t *testing.T) {
	t.Helper()
	select {
	case err := <-a.ended:
		if err != nil {
			t.Errorf("the server ended: %v\n%s", err, a.log)
		}
		a.ended <- nil
	case <-time.After(30 * time.Second):
		t.Fatalf("the server does not end\n%s", a.log)
	}
}

// try calls a tool and returns its result, its text and its notes.
func (a *agent) try(t *testing.T, tool string, arguments params) (result params, text string, notes []string) {
	t.Helper()
	r, err := a.CallTool(t.Context(), &sdk.CallToolParams{Name: tool, Arguments: arguments})
	if err != nil {
		t.Fatalf("%s %v: %v\n%s", tool, arguments, err, a.log)
	}
	for i, c := range r.Content {
		if said := c.(*sdk.TextContent).Text; i == 0 {
			text = said
		} else {
			note, ok := strings.CutPrefix(said, "Note: ")
			if !ok {
				t.Errorf("%s: a content that is no note: %s", tool, said)
			}
			notes = append(notes, note)
		}
	}
	if !r.IsError {
		result = r.StructuredContent.(params)
	}
	return result, text, notes
}

// use calls a tool that must succeed.
func (a *agent) use(t *testing.T, tool string, arguments params) params {
	t.Helper()
	result, text, _ := a.try(t, tool, arguments)
	if result == nil {
		t.Fatalf("%s %v: %s\n%s", tool, arguments, text, a.log)
	}
	return result
}
