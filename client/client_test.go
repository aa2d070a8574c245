package client_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"reflect"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/claudebench/claudebench/client"
	"github.com/claudebench/claudebench/commands"
	"github.com/claudebench/claudebench/internal/config"
	"golang.org/x/sync/errgroup"
)

func TestTypedCallsOfATask(t *testing.T) {
	t.Parallel()
	c := dial(t, start(t, settings(t, nil)).url)
	ctx := t.Context()
	if _, err := c.Register(ctx, client.RegisterParams{ID: "w", Roles: []client.Role{"worker"}}); err != nil {
		t.Fatal(err)
	}
	task, err := c.CreateTask(ctx, client.CreateTaskParams{Text: "count <b>", Priority: new(80), Metadata: client.Object(`{"a":"<&>"}`)})
	if err != nil || task.Text != "count <b>" || task.Priority != 80 || string(task.Metadata) != `{"a":"<&>"}` {
		t.Fatalf("created %+v, %v", task, err)
	}
	claim, err := c.ClaimTask(ctx, client.ClaimTaskParams{WorkerID: "w"})
	if err != nil || !claim.Claimed || claim.TaskID != task.ID || claim.Task.Attempt != 1 {
		t.Fatalf("claimed %+v, %v", claim, err)
	}
	done, err := c.CompleteTask(ctx, client.CompleteTaskParams{ID: task.ID, WorkerID: "w", Attempt: new(1), Result: client.Value(`{"n":1}`)})
	if err != nil || done.Status != "completed" {
		t.Fatalf("completed %+v, %v", done, err)
	}
	got, err := c.GetTask(ctx, task.ID)
	if err != nil || string(got.Result) != `{"n":1}` {
		t.Fatalf("got %+v, %v", got, err)
	}
	many, err := c.CreateTasks(ctx, client.CreateTaskParams{Text: "a"}, client.CreateTaskParams{})
	if err != nil || many.Succeeded != 1 || many.Answers[0].Result.Text != "a" || many.Answers[1].Error.Code != client.CodeInvalidParams {
		t.Fatalf("created %+v, %v", many, err)
	}
}

func TestErrorsAreTyped(t *testing.T) {
	t.Parallel()
	c := dial(t, start(t, settings(t, nil)).url)
	ctx := t.Context()
	_, err := c.ClaimTask(ctx, client.ClaimTaskParams{WorkerID: "nobody"})
	if !client.IsNotRegistered(err) || client.IsNotFound(err) || client.OutcomeUnknown(err) || client.IsUnavailable(err) {
		t.Errorf("claim: %v", err)
	}
	if _, err := c.GetTask(ctx, "t-99"); !client.IsNotFound(err) {
		t.Errorf("get: %v", err)
	}
	task := create(t, c, "x")
	_, err = c.CompleteTask(ctx, client.CompleteTaskParams{ID: task.ID})
	if !client.IsConflict(err) || !client.IsConflict(err, "NOT_OWNER", "NOT_ASSIGNED") || client.IsConflict(err, "NOT_OWNER") || client.ConflictReason(err) != "NOT_ASSIGNED" {
		t.Errorf("complete: %v", err)
	}
	if _, err = c.CreateTask(ctx, client.CreateTaskParams{}); !client.IsInvalidParams(err) {
		t.Errorf("create: %v", err)
	}
	err = c.Call(ctx, "task.fly", nil, nil)
	var e *client.Error
	if !errors.As(err, &e) || e.Code != client.CodeMethodNotFound || e.Method != "task.fly" {
		t.Errorf("fly: %v", err)
	}
	if text, _ := json.Marshal(e); string(text) != `{"code":-32601,"message":"Method not found","data":"task.fly"}` {
		t.Errorf("the error as JSON: %s", text)
	}
}

func TestARateLimitSaysHowLongToWait(t *testing.T) {
	t.Parallel()
	c := dial(t, start(t, settings(t, func(cfg *config.Config) {
		cfg.RateLimits = config.RateLimits{Methods: map[string]int{"task.get": 1}}
	})).url)
	task := create(t, c, "x")
	if _, err := c.GetTask(t.Context(), task.ID); err != nil {
		t.Fatal(err)
	}
	_, err := c.GetTask(t.Context(), task.ID)
	if !client.IsRateLimited(err) || client.RetryAfter(err) <= 0 || client.RetryAfter(err) > time.Minute {
		t.Errorf("get: %v, retry after %s", err, client.RetryAfter(err))
	}
}

// A wrong URL and a wrong token give errors that say what to do.
func TestWhatIsNoCoordinator(t *testing.T) {
	t.Parallel()
	for _, url := range []string{"", "127.0.0.1:3000", "ftp://x", "http://", "http://user:pass@host", "http://host?x=1"} {
		if _, err := client.New(url, ""); err == nil || !strings.Contains(err.Error(), "URL") {
			t.Errorf("New(%q): %v", url, err)
		}
	}
	if _, err := client.New("http://host", "two words"); err == nil || !strings.Contains(err.Error(), "CB_TOKEN") {
		t.Errorf("a token with a space: %v", err)
	}
	answers := map[string]http.HandlerFunc{
		"a page":     func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, "<html>hello</html>") },
		"other JSON": func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, `{"result":1}`) },
		"a redirect": func(w http.ResponseWriter, r *http.Request) { http.Redirect(w, r, "/login", http.StatusFound) },
	}
	for name, answer := range answers {
		s := httptest.NewServer(answer)
		err := dial(t, s.URL).Call(t.Context(), "system.health", nil, nil)
		s.Close()
		if !errors.Is(err, client.ErrNotCoordinator) || !strings.Contains(err.Error(), s.URL) {
			t.Errorf("%s: %v", name, err)
		}
	}
	nobody := dial(t, "http://"+unused(t))
	_, err := nobody.Health(t.Context())
	if !client.IsUnavailable(err) || client.OutcomeUnknown(err) || !strings.Contains(err.Error(), "check the URL") {
		t.Errorf("nobody listens: %v", err)
	}
}

// unused returns an address where nobody listens.
func unused(t *testing.T) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = l.Close() }()
	return l.Addr().String()
}

// flaky answers the first calls with an error, and the others with a result. hangUp closes the
// connection without an answer instead.
func flaky(t *testing.T, failures int64, answer string) (c *client.Client, calls *atomic.Int64) {
	t.Helper()
	calls = new(atomic.Int64)
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		switch {
		case calls.Add(1) > failures:
			_, _ = io.WriteString(w, `{"jsonrpc":"2.0","id":1,"result":{}}`)
		case answer == "":
			panic(http.ErrAbortHandler)
		default:
			_, _ = fmt.Fprintf(w, `{"jsonrpc":"2.0","id":1,"error":%s}`, answer)
		}
	}))
	t.Cleanup(s.Close)
	return dial(t, s.URL, client.WithRetry(patience)), calls
}

const (
	unavailable = `{"code":-32603,"message":"Internal error","data":"Redis unavailable: it restarts"}`
	unknown     = `{"code":-32603,"message":"Internal error","data":"Outcome unknown"}`
	limited     = `{"code":-32000,"message":"Rate limit exceeded","data":{"retryAfterMs":300}}`
	conflict    = `{"code":-32005,"message":"Conflict","data":{"reason":"NOT_OWNER"}}`
)

// A call is repeated exactly when that is safe.
func TestRetries(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		name, method, params, answer string
		again                        bool
	}{
		{"unavailable", "task.create", `{"text":"x"}`, unavailable, true},
		{"limited", "task.update", `{}`, limited, true},
		{"conflict", "task.get", `{}`, conflict, false},
		{"unknown, read", "task.get", `{"id":"t-1"}`, unknown, true},
		{"unknown, no key", "task.create", `{"text":"x"}`, unknown, false},
		{"unknown, key", "task.create", `{"text":"x","idempotencyKey":"k"}`, unknown, true},
		{"lost, read", "task.get", `{"id":"t-1"}`, "", true},
		{"lost, no key", "task.claim", `{"workerId":"w"}`, "", false},
		{"lost, key", "task.claim", `{"workerId":"w","idempotencyKey":"k"}`, "", true},
		{"lost, a key is missing", "task.create_many", `{"tasks":[{"idempotencyKey":"k"},{}]}`, "", false},
		{"lost, all keys", "task.complete_many", `{"items":[{"idempotencyKey":"k"}]}`, "", true},
		{"lost, session", "system.register", `{"id":"w","metadata":{"sessionId":"s"}}`, "", true},
		{"lost, no session", "system.register", `{"id":"w"}`, "", false},
		{"lost, vote", "system.quorum.vote", `{}`, "", false},
		{"lost, unknown method", "task.fly", `{}`, "", false},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			c, calls := flaky(t, 2, test.answer)
			began := time.Now()
			err := c.Call(t.Context(), test.method, json.RawMessage(test.params), nil)
			if again := err == nil && calls.Load() == 3; again != test.again || !again && calls.Load() != 1 {
				t.Errorf("%d calls, %v", calls.Load(), err)
			}
			if test.answer == limited && time.Since(began) < 600*time.Millisecond {
				t.Errorf("two limits of 300 ms took %s", time.Since(began))
			}
			if test.answer == "" && !test.again && !client.OutcomeUnknown(err) {
				t.Errorf("a lost answer: %v", err)
			}
		})
	}
}

func TestRetriesEndWithTheContext(t *testing.T) {
	t.Parallel()
	c, calls := flaky(t, 1<<40, unavailable)
	ctx, cancel := context.WithTimeout(t.Context(), 300*time.Millisecond)
	defer cancel()
	began := time.Now()
	if _, err := c.Health(ctx); !client.IsUnavailable(err) && !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("the error is not the last one: %v", err)
	}
	if time.Since(began) > 5*time.Second || calls.Load() < 2 {
		t.Errorf("%d calls in %s", calls.Load(), time.Since(began))
	}
}

// Each method of the coordinator has a typed method that calls it.
func TestEveryMethodIsTyped(t *testing.T) {
	t.Parallel()
	var called []string
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		var request struct {
			Method string `json:"method"`
		}
		_ = json.NewDecoder(r.Body).Decode(&request)
		called = append(called, request.Method)
		_, _ = io.WriteString(w, `{"jsonrpc":"2.0","id":1,"result":{}}`)
	}))
	defer s.Close()
	c := reflect.ValueOf(dial(t, s.URL))
	for i := range c.NumMethod() {
		m := c.Method(i)
		if name := c.Type().Method(i).Name; name == "Call" || name == "Do" || m.Type().NumOut() != 2 {
			continue
		}
		args := []reflect.Value{reflect.ValueOf(t.Context())}
		for in := 1; in < m.Type().NumIn() && !m.Type().IsVariadic(); in++ {
			args = append(args, reflect.Zero(m.Type().In(in)))
		}
		if out := m.Call(args); !out[1].IsNil() {
			t.Errorf("%s: %v", c.Type().Method(i).Name, out[1])
		}
	}
	want := []string{"rpc.discover"}
	list, err := commands.Methods()
	if err != nil {
		t.Fatal(err)
	}
	for _, m := range list {
		want = append(want, m.Name)
	}
	slices.Sort(want)
	slices.Sort(called)
	if !slices.Equal(called, want) {
		t.Errorf("the client calls\n%v, the coordinator has\n%v", called, want)
	}
}

// One client can wait for hundreds of tasks at a time, and each answer comes when there is a task.
func TestHundredsOfWaitingClaims(t *testing.T) {
	t.Parallel()
	const many = 300
	c := dial(t, start(t, settings(t, nil)).url)
	claimed := make(chan client.TaskID, many)
	var waiting errgroup.Group
	for n := range many {
		id := client.ID(fmt.Sprint("w", n))
		if _, err := c.Register(t.Context(), client.RegisterParams{ID: id, Roles: []client.Role{client.Role(id)}}); err != nil {
			t.Fatal(err)
		}
		waiting.Go(func() error {
			claim, err := c.ClaimTask(t.Context(), client.ClaimTaskParams{WorkerID: id, WaitMs: new(60_000)})
			if err == nil && claim.Claimed {
				claimed <- claim.TaskID
			}
			return err
		})
	}
	tasks := make([]client.CreateTaskParams, many)
	for i := range tasks {
		tasks[i].Text = "x"
	}
	if _, err := c.CreateTasks(t.Context(), tasks...); err != nil {
		t.Fatal(err)
	}
	if err := waiting.Wait(); err != nil {
		t.Fatal(err)
	}
	close(claimed)
	got := map[client.TaskID]bool{}
	for id := range claimed {
		got[id] = true
	}
	if len(got) != many {
		t.Errorf("%d tasks were claimed", len(got))
	}
}
