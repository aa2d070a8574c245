package mcpstdio

import (
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	sdk "github.com/modelcontextprotocol/go-sdk/mcp"

	"github.com/claudebench/claudebench/internal/testenv"
)

// unregister unregisters an instance behind the back of its server.
func (f *fleet) unregister(t *testing.T, id string) {
	t.Helper()
	if left := f.direct(t, "system.unregister", params{"instanceId": id}); left["unregistered"] != true {
		t.Fatalf("unregister %s: %v", id, left)
	}
}

// An agent that the coordinator does not know any more is registered again by its next call, and by
// the next heartbeat.
func TestItRegistersAgain(t *testing.T) {
	t.Parallel()
	f := start(t)
	a := f.agent(t, nil)
	a.use(t, "task_create", params{"text": "x"})
	f.unregister(t, "a")
	if claimed := a.use(t, "task_claim", nil); claimed["claimed"] != true {
		t.Errorf("claimed %v", claimed)
	}
	f.unregister(t, "a")
	testenv.Eventually(t, 10*time.Second, func() (bool, string) { return f.alive(t, "a"), a.log.String() })
}

// What happened to an agent's tasks meanwhile is told with the next answer, once.
func TestNews(t *testing.T) {
	t.Parallel()
	f := start(t)
	a := f.agent(t, func(o *Options) { o.MaxTasks = 0 })
	told := func(what string, want ...string) {
		t.Helper()
		var all []string
		testenv.Eventually(t, 10*time.Second, func() (bool, string) {
			_, _, notes := a.try(t, "system_health", nil)
			all = append(all, notes...)
			return len(all) > 0, what + ": it is not told"
		})
		for _, w := range want {
			if len(all) != 1 || !strings.Contains(all[0], w) {
				t.Errorf("%s: it is told %q, want %q", what, all, w)
			}
		}
		if _, _, notes := a.try(t, "system_health", nil); len(notes) > 0 {
			t.Errorf("%s: it is told again: %q", what, notes)
		}
	}
	claim := func(text string) string {
		t.Helper()
		f.direct(t, "task.create", params{"text": text, "priority": 100})
		id, _ := a.use(t, "task_claim", nil)["taskId"].(string)
		return id
	}
	if _, _, notes := a.try(t, "system_health", nil); notes != nil {
		t.Errorf("without tasks it is told %q", notes)
	}

	id := f.direct(t, "task.create", params{"text": "assigned"})["id"].(string)
	f.direct(t, "task.assign", params{"taskId": id, "instanceId": "a"})
	told("assigned", "you were assigned "+id, `"assigned"`)
	if got := a.use(t, "task_claim", nil); got["taskId"] != id {
		t.Errorf("claimed %v", got)
	}
	f.direct(t, "task.update", params{"id": id, "updates": params{"text": "changed", "metadata": params{"a": 1}}})
	told("updated", id+", which you hold, was changed", `its text is now "changed"`, "its metadata changed")
	f.direct(t, "task.unassign", params{"taskId": id})
	told("unassigned", id+" was taken from you and waits in the queue")
	f.direct(t, "task.delete", params{"id": id})

	id = claim("deleted")
	f.direct(t, "task.delete", params{"id": id})
	told("deleted", id+" was deleted")

	id = claim("finished")
	f.direct(t, "task.complete", params{"id": id})
	told("finished", id+" is completed; someone else finished it")

	id = claim("called off")
	f.direct(t, "task.cancel", params{"id": id, "graceMs": 3_600_000})
	told("called off", id+", which you hold, was called off", "task_complete with cancelled: true")
	if done := a.use(t, "task_complete", params{"id": id, "attempt": 1, "cancelled": true}); done["status"] != "cancelled" {
		t.Errorf("called off and ended: %v", done)
	}

	id = claim("called off too late")
	f.direct(t, "task.cancel", params{"id": id, "graceMs": 0})
	told("called off too late", id+" was called off and is cancelled")

	id = claim("given to another")
	f.direct(t, "system.register", params{"id": "other", "roles": []string{"worker"}, "metadata": params{"maxTasks": 0}})
	f.direct(t, "task.unassign", params{"taskId": id})
	f.direct(t, "task.assign", params{"taskId": id, "instanceId": "other"})
	told("given to another", id+" was taken from you; it now belongs to other")

	id = claim("given back and assigned again")
	f.direct(t, "task.unassign", params{"taskId": id})
	f.direct(t, "task.assign", params{"taskId": id, "instanceId": "a"})
	told("assigned again", id+" was taken from you and is assigned to you again")

	// What the model does itself is no news.
	for _, do := range []func(id string){
		func(id string) { a.use(t, "task_unassign", params{"taskId": id}) },
		func(id string) { a.use(t, "task_delete", params{"id": id}) },
		func(id string) { a.use(t, "task_update", params{"id": id, "updates": params{"text": "mine"}}) },
		func(id string) { a.use(t, "task_complete", params{"taskId": id, "attempt": 1, "error": "no"}) },
	} {
		id := claim("mine")
		do(id)
		if _, _, notes := a.try(t, "system_health", nil); notes != nil {
			t.Errorf("of its own doing it is told %q", notes)
		}
	}
}

// Coordinators of some versions complete many tasks in one call. Those that it has completed are no
// news either.
func TestManyCompletedTasks(t *testing.T) {
	t.Parallel()
	h := holdings{s: &server{o: Options{ID: "a"}}, known: map[string]*task{"t-1": {}, "t-2": {}, "t-3": {}}}
	h.learn("task_complete_many", map[string]json.RawMessage{"items": json.RawMessage(`[{"id":"t-1"},"{\"taskId\":\"t-2\"}",{"id":"t-3"}]`)},
		json.RawMessage(`{"answers":[{"result":{}},{"result":{}},{"error":{"code":-32001}}]}`), nil)
	if len(h.known) != 1 || h.known["t-3"] == nil {
		t.Errorf("it holds %v", h.known)
	}
}

// A task that was lost and an error that says so are one piece of news.
func TestAnErrorIsNewsEnough(t *testing.T) {
	t.Parallel()
	f := start(t)
	a := f.agent(t, func(o *Options) { o.MaxTasks = 0 })
	id := a.use(t, "task_create", params{"text": "x"})["id"].(string)
	a.use(t, "task_claim", nil)
	f.direct(t, "task.unassign", params{"taskId": id})
	_, text, notes := a.try(t, "task_complete", params{"id": id, "attempt": 1, "result": "done"})
	if !strings.Contains(text, "NOT_ASSIGNED") || notes != nil {
		t.Errorf("%s; %q", text, notes)
	}
	// What the hint says brings the result home.
	if !strings.Contains(text, "call task_assign with this taskId, then repeat this call unchanged") {
		t.Errorf("the hint: %s", text)
	}
	a.use(t, "task_assign", params{"taskId": id})
	if done := a.use(t, "task_complete", params{"id": id, "attempt": 1, "result": "done"}); done["status"] != "completed" {
		t.Errorf("completed %v", done)
	}
}

// An agent that is started again with its session is told what it held, and completes it.
func TestASessionIsContinued(t *testing.T) {
	t.Parallel()
	f := start(t)
	session := func(o *Options) { o.Session = "s" }
	a := f.agent(t, session)
	id := a.use(t, "task_create", params{"text": "long work"})["id"].(string)
	a.use(t, "task_claim", nil)
	a.leave(t)
	if !f.alive(t, "a") {
		t.Fatal("it was unregistered although it holds a task")
	}
	b := f.agent(t, session)
	_, _, notes := b.try(t, "system_health", nil)
	if len(notes) != 1 || !strings.Contains(notes[0], "you hold task "+id+" since before (attempt 1)") || !strings.Contains(notes[0], `"long work"`) {
		t.Errorf("it is told %q\n%s", notes, b.log)
	}
	if done := b.use(t, "task_complete", params{"id": id, "attempt": 1}); done["status"] != "completed" {
		t.Errorf("completed %v", done)
	}
	b.leave(t)
	if f.alive(t, "a") {
		t.Error("it is registered although it holds nothing")
	}
}

// When the input closes, calls in flight are finished and answered. So they are on a signal, and a
// claim that waits ends.
func TestCallsInFlightAreFinished(t *testing.T) {
	t.Parallel()
	for name, end := range map[string]func(*agent){
		"end of input": func(a *agent) { _ = a.in.Close() },
		"signal":       func(a *agent) { a.stop() },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			f := start(t)
			a := f.agent(t, nil)
			id := a.use(t, "task_create", params{"text": "x"})["id"]
			a.use(t, "task_claim", nil)
			begun, goOn := make(chan struct{}), make(chan struct{})
			answer := sync.OnceFunc(func() { close(goOn) })
			t.Cleanup(answer) // the proxy does not end before
			f.on(func(tool string, _ http.ResponseWriter, _ []byte) bool {
				if tool == "task_complete" {
					close(begun)
					<-goOn
				}
				return false
			})
			answered := make(chan error, 1)
			go func() {
				_, err := a.CallTool(t.Context(), &sdk.CallToolParams{Name: "task_complete", Arguments: params{"id": id, "attempt": 1}})
				answered <- err
			}()
			<-begun
			end(a)
			answer()
			began := time.Now()
			if err := <-answered; err != nil && name == "signal" { // at the end of its input the SDK's client reads no more
				t.Errorf("the call: %v\n%s", err, a.log)
			}
			a.wait(t)
			if took := time.Since(began); took >= finishTime {
				t.Errorf("its end took %s\n%s", took, a.log)
			}
			if f.alive(t, "a") {
				t.Errorf("it is registered after its end\n%s", a.log)
			}
		})
	}
}

// A claim that waits when the agent ends delays nothing, and claims nothing afterwards.
func TestAClaimThatWaitsEndsWithTheAgent(t *testing.T) {
	t.Parallel()
	for name, end := range map[string]func(*agent){
		"end of input": func(a *agent) { _ = a.in.Close() },
		"signal":       func(a *agent) { a.stop() },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			f := start(t)
			a := f.agent(t, nil)
			answered := make(chan *sdk.CallToolResult, 1)
			go func() {
				r, _ := a.CallTool(t.Context(), &sdk.CallToolParams{Name: "task_claim", Arguments: params{"waitMs": 50_000}})
				answered <- r
			}()
			waits := func(n int) {
				t.Helper()
				testenv.Eventually(t, 10*time.Second, func() (bool, string) {
					text := f.metrics(t)
					return strings.Contains(text, fmt.Sprintf("\nclaudebench_claims_waiting %d\n", n)), text
				})
			}
			waits(1)
			began := time.Now()
			end(a)
			a.wait(t)
			if took := time.Since(began); took >= finishTime {
				t.Errorf("its end took %s\n%s", took, a.log)
			}
			if r := <-answered; name == "signal" && (r == nil || r.StructuredContent.(params)["claimed"] != false) { // else the SDK's client reads no more
				t.Errorf("answered %+v", r)
			}
			waits(0)
			id := f.direct(t, "task.create", params{"text": "x"})["id"]
			if got := f.direct(t, "task.get", params{"id": id}); got["status"] != "pending" || f.alive(t, "a") {
				t.Errorf("the task is %v", got)
			}
		})
	}
}

// What an agent is registered with: its TTL, and the session that its hooks name, or its own.
func TestItsRegistration(t *testing.T) {
	t.Parallel()
	f := start(t)
	f.agent(t, func(o *Options) { o.AgentSession, o.TTL = "hooks", 7*time.Second }).leave(t)
	m, left := f.last(t, "system.register").Params, f.last(t, "system.unregister").Params
	if m.TTLMs != 7000 || m.Metadata.SessionID != "hooks" || left.SessionID != "hooks" {
		t.Errorf("registered with %+v, left with %+v", m, left)
	}
	f.agent(t, func(o *Options) { o.Session, o.AgentSession = "mine", "hooks" }).leave(t)
	if m := f.last(t, "system.register").Params; m.Metadata.SessionID != "mine" {
		t.Errorf("registered with %+v", m)
	}
}

// An agent that starts before its coordinator gets tools, and errors that say what to do. As soon as
// the coordinator is there, the agent is registered.
func TestWithoutACoordinator(t *testing.T) {
	t.Parallel()
	// A port on which nobody listens, and from which the coordinator starts later.
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	cfg := settings(t)
	cfg.Listen = l.Addr().String()
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	f := &fleet{url: "http://" + cfg.Listen, via: "http://" + cfg.Listen}
	a := f.agent(t, nil)
	tools, err := a.ListTools(t.Context(), nil)
	if err != nil || len(tools.Tools) < 15 {
		t.Fatalf("%+v, %v", tools, err)
	}
	if prompts, err := a.ListPrompts(t.Context(), nil); err != nil || len(prompts.Prompts) != 2 {
		t.Errorf("prompts: %+v, %v", prompts, err)
	}
	_, text, _ := a.try(t, "task_claim", nil)
	for _, want := range []string{"does not answer", cfg.Listen, "Next: nothing has changed", "claudebench up"} {
		if !strings.Contains(text, want) {
			t.Errorf("a call: %s", text)
		}
	}
	startCoordinator(t, cfg)
	testenv.Eventually(t, 20*time.Second, func() (bool, string) { return f.alive(t, "a"), a.log.String() })
	if claimed := a.use(t, "task_claim", params{"waitMs": 0}); claimed["claimed"] != false {
		t.Errorf("claimed %v", claimed)
	}
}

// A URL of something else is named as the mistake that it is.
func TestTheURLOfSomethingElse(t *testing.T) {
	t.Parallel()
	for name, tc := range map[string]struct {
		status      int
		answer, say string
	}{
		"a web site":         {404, "<html>", "does not answer as a ClaudeBench coordinator; check --url"},
		"a page":             {200, "<html>", "does not answer as a ClaudeBench coordinator"},
		"another MCP server": {200, `{"jsonrpc":"2.0","id":1,"result":{"serverInfo":{"name":"files"}}}`, `an MCP server named "files"`},
		"no token":           {401, `{"error":{"code":-32002}}`, "CB_TOKEN is missing or not valid"},
	} {
		other := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
			w.WriteHeader(tc.status)
			_, _ = io.WriteString(w, tc.answer)
		}))
		f := &fleet{url: other.URL, via: other.URL}
		a := f.agent(t, nil)
		testenv.Eventually(t, 10*time.Second, func() (bool, string) {
			return strings.Contains(a.log.String(), strings.ReplaceAll(tc.say, `"`, `\"`)) || strings.Contains(a.log.String(), tc.say), fmt.Sprintf("%s: the log: %s", name, a.log)
		})
		if _, text, _ := a.try(t, "task_claim", nil); !strings.Contains(text, "Tell the user") || !strings.Contains(text, tc.say) {
			t.Errorf("%s: %s", name, text)
		}
		a.leave(t)
		other.Close()
	}
}
