package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"net/http"
	"os"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/claudebench/claudebench/internal/nodetest"
	"github.com/claudebench/claudebench/internal/testenv"
)

// bench is a coordinator in a process of its own.
type bench struct {
	*child
	args []string
	url  string
}

func startBench(t *testing.T) *bench {
	t.Helper()
	b := &bench{args: []string{
		"serve", "--redis-url", testenv.Redis(t).URL(), "--database-url", testenv.Postgres(t), "--namespace", testenv.Namespace(t), "--rate-limits", "off",
		"--instance-ttl", "5s", // for as long after its start, a coordinator declares nobody dead
	}}
	b.start(t, "127.0.0.1:0")
	return b
}

func (b *bench) start(t *testing.T, listen string) {
	t.Helper()
	b.child = launch(t, nil, append([]string{"--listen", listen}, b.args...)...)
	b.url = "http://" + b.address(t)
}

// call calls a method that must succeed.
func call[R any](t *testing.T, b *bench, method string, params any) (result R) {
	t.Helper()
	body, err := json.Marshal(map[string]any{"jsonrpc": "2.0", "id": 1, "method": method, "params": params})
	if err != nil {
		t.Fatal(err)
	}
	request, err := http.NewRequestWithContext(t.Context(), http.MethodPost, b.url+"/rpc", bytes.NewReader(body))
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
		Result json.RawMessage
		Error  json.RawMessage
	}
	if err := json.NewDecoder(response.Body).Decode(&answer); err != nil || answer.Error != nil {
		t.Fatalf("%s %v: %s, %v", method, params, answer.Error, err)
	}
	if err := json.Unmarshal(answer.Result, &result); err != nil {
		t.Fatalf("%s: %s: %v", method, answer.Result, err)
	}
	return result
}

type (
	object   = map[string]any
	taskView struct {
		Status, AssignedTo string
		Attempt            int
		Result             json.RawMessage
	}
	stateView struct {
		Instances []struct {
			ID       string
			LastSeen int64 // ms
		}
	}
)

// seen returns when an instance gave its last sign of life, in ms, or 0 if it is not registered.
func (b *bench) seen(t *testing.T, id string) int64 {
	t.Helper()
	for _, i := range call[stateView](t, b, "system.get_state", nil).Instances {
		if i.ID == id {
			return i.LastSeen
		}
	}
	return 0
}

// stdioAgent is an official TypeScript client that has started `claudebench mcp`.
type stdioAgent struct {
	*nodetest.Client
	met nodetest.Connected
}

func startAgent(t *testing.T, b *bench, generation, version string, args ...string) *stdioAgent {
	t.Helper()
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	a := &stdioAgent{Client: nodetest.Install(t).NewClient(t, generation)}
	p := nodetest.Params{"command": self, "args": append([]string{"mcp", "--url", b.url, "--ttl", "5s"}, args...), "env": object{asProgram: "1"}}
	if version != "" {
		p["version"] = version
	}
	a.met = nodetest.Do[nodetest.Connected](t, a.Client, "connect", p)
	return a
}

// use calls a tool that must succeed, and returns its result and its notes.
func (a *stdioAgent) use(t *testing.T, tool string, arguments object) (result object, notes []string) {
	t.Helper()
	return decode(t, tool, nodetest.Do[nodetest.Called](t, a.Client, "call", nodetest.Params{"name": tool, "arguments": arguments}))
}

func decode(t *testing.T, tool string, r nodetest.Called) (result object, notes []string) {
	t.Helper()
	if r.IsError || json.Unmarshal(r.StructuredContent, &result) != nil {
		t.Fatalf("%s: %+v", tool, r)
	}
	for _, c := range r.Content[1:] {
		notes = append(notes, c.Text)
	}
	return result, notes
}

// The official TypeScript clients start the program and work through tasks with it.
func TestMCPOverStdio(t *testing.T) {
	t.Parallel()
	b := startBench(t)
	for _, client := range []struct{ generation, version, protocol string }{
		{"v1", "", "2025-11-25"}, {"v2", "", "2025-11-25"}, {"v2", "auto", "2026-07-28"},
	} {
		t.Run(client.generation+client.version, func(t *testing.T) {
			t.Parallel()
			role := "role-" + client.generation + client.version
			a := startAgent(t, b, client.generation, client.version, "--roles", "worker,"+role, "--id", role)
			if a.met.Server.Name != "claudebench" || !strings.Contains(a.met.Instructions, role) || client.generation == "v2" && a.met.Protocol != client.protocol {
				t.Errorf("it met %+v", a.met)
			}
			tools := nodetest.Do[struct {
				Tools []struct{ Name string }
			}](t, a.Client, "tools", nil)
			if len(tools.Tools) < 15 || slices.ContainsFunc(tools.Tools, func(tool struct{ Name string }) bool { return tool.Name == "system_register" }) {
				t.Errorf("tools: %v", tools)
			}
			for i := range 3 {
				created, _ := a.use(t, "task_create", object{"text": fmt.Sprint(i), "metadata": object{"roles": []string{role}}})
				claimed, _ := a.use(t, "task_claim", nil)
				if claimed["taskId"] != created["id"] {
					t.Errorf("claimed %v, want %v", claimed, created)
				}
				a.use(t, "task_complete", object{"id": created["id"], "attempt": 1, "result": fmt.Sprintf(`{"n":%d}`, i)})
				if got := call[taskView](t, b, "task.get", object{"id": created["id"]}); got.Status != "completed" || string(got.Result) != fmt.Sprintf(`{"n":%d}`, i) {
					t.Errorf("task %v is %+v", created["id"], got)
				}
			}
			id := call[struct{ ID string }](t, b, "task.create", object{"text": "assigned", "metadata": object{"roles": []string{role}}}).ID
			call[object](t, b, "task.assign", object{"taskId": id, "instanceId": role})
			var told []string
			testenv.Eventually(t, 20*time.Second, func() (bool, string) {
				_, notes := a.use(t, "system_health", nil)
				told = append(told, notes...)
				return len(told) > 0, "it is not told of the task that it was assigned"
			})
			if !strings.HasPrefix(told[0], "Note: you were assigned "+id) {
				t.Errorf("told %q", told)
			}
			nodetest.Do[object](t, a.Client, "close", nil)
			testenv.Eventually(t, 10*time.Second, func() (bool, string) { return b.seen(t, role) == 0, "it is still registered" })
			if got := call[taskView](t, b, "task.get", object{"id": id}); got.AssignedTo == role {
				t.Errorf("its task: %+v", got)
			}
		})
	}
}

// A task of a server that was killed goes to others when the TTL is over. If the agent is killed,
// the server sees the end of its input and unregisters at once.
func TestMCPKilled(t *testing.T) {
	t.Parallel()
	b := startBench(t)
	for name, kill := range map[string]func(*stdioAgent){
		"server": func(a *stdioAgent) {
			if err := syscall.Kill(a.met.PID, syscall.SIGKILL); err != nil {
				t.Error(err)
			}
		},
		"agent":    func(a *stdioAgent) { a.Kill(t) },
		"signal":   func(a *stdioAgent) { _ = syscall.Kill(a.met.PID, syscall.SIGTERM) },
		"stopping": func(a *stdioAgent) { _ = syscall.Kill(a.met.PID, syscall.SIGINT) },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			a := startAgent(t, b, "v1", "", "--id", name, "--roles", "worker,"+name)
			created, _ := a.use(t, "task_create", object{"text": "x", "metadata": object{"roles": []string{name}}})
			a.use(t, "task_claim", nil)
			kill(a)
			testenv.Eventually(t, time.Minute, func() (bool, string) {
				got := call[taskView](t, b, "task.get", object{"id": created["id"]})
				return b.seen(t, name) == 0 && got.Status == "pending", fmt.Sprintf("%+v", got)
			})
		})
	}
}

// An agent that says nothing for three TTLs keeps its task.
func TestMCPSilence(t *testing.T) {
	t.Parallel()
	b := startBench(t)
	a := startAgent(t, b, "v1", "", "--id", "a")
	created, _ := a.use(t, "task_create", object{"text": "think"})
	claimed, _ := a.use(t, "task_claim", nil)
	began := b.seen(t, "a")
	testenv.Eventually(t, 40*time.Second, func() (bool, string) {
		last := b.seen(t, "a")
		return last > began+3*5000, fmt.Sprintf("last seen %d ms after the claim", last-began)
	})
	done, notes := a.use(t, "task_complete", object{"id": created["id"], "attempt": claimed["task"].(object)["attempt"], "result": "done"})
	if done["status"] != "completed" || notes != nil {
		t.Errorf("completed %v, %q", done, notes)
	}
}

// An agent that crashes and starts again with its session is told what it holds, and completes it.
func TestMCPSession(t *testing.T) {
	t.Parallel()
	b := startBench(t)
	a := startAgent(t, b, "v1", "", "--session", "project", "--ttl", "2m")
	created, _ := a.use(t, "task_create", object{"text": "long work"})
	a.use(t, "task_claim", nil)
	if err := syscall.Kill(a.met.PID, syscall.SIGKILL); err != nil {
		t.Fatal(err)
	}
	again := startAgent(t, b, "v2", "", "--session", "project", "--ttl", "2m")
	_, notes := again.use(t, "system_health", nil)
	if len(notes) != 1 || !strings.Contains(notes[0], fmt.Sprintf("you hold task %s since before (attempt 1)", created["id"])) {
		t.Errorf("it is told %q", notes)
	}
	if done, _ := again.use(t, "task_complete", object{"id": created["id"], "attempt": 1}); done["status"] != "completed" {
		t.Errorf("completed %v", done)
	}
}

// A coordinator is restarted under an agent at work.
func TestMCPOverARestart(t *testing.T) {
	t.Parallel()
	b := startBench(t)
	a := startAgent(t, b, "v2", "", "--id", "a")
	created, _ := a.use(t, "task_create", object{"text": "x"})
	a.use(t, "task_claim", nil)
	b.signal(t, syscall.SIGTERM)
	b.ended(t)
	// Begun without a coordinator, and answered by the next one.
	p := a.Start(t, "call", nodetest.Params{"name": "task_complete", "arguments": object{"id": created["id"], "attempt": 1, "result": "done"}})
	b.start(t, strings.TrimPrefix(b.url, "http://"))
	r, err := nodetest.Into[nodetest.Called](p.Wait(t))
	if err != nil {
		t.Fatal(err)
	}
	if r.IsError { // the restart took longer than the server's patience; then it says so
		if !strings.Contains(r.Content[0].Text, "call again") {
			t.Errorf("it says %+v", r)
		}
		r = nodetest.Do[nodetest.Called](t, a.Client, "call", nodetest.Params{"name": "task_complete", "arguments": object{"id": created["id"], "attempt": 1, "result": "done"}})
	}
	if done, _ := decode(t, "task_complete", r); done["status"] != "completed" {
		t.Errorf("completed %v", done)
	}
	if got := call[taskView](t, b, "task.get", object{"id": created["id"]}); string(got.Result) != `"done"` {
		t.Errorf("the task: %+v", got)
	}
}

// A claim waits for a task, and tells meanwhile that it waits.
func TestMCPWaits(t *testing.T) {
	t.Parallel()
	b := startBench(t)
	a := startAgent(t, b, "v1", "", "--id", "a")
	p := a.Start(t, "call", nodetest.Params{"name": "task_claim", "progress": true})
	p.Progress(t, 1)
	id := call[struct{ ID string }](t, b, "task.create", object{"text": "at last"}).ID
	r, err := nodetest.Into[nodetest.Called](p.Wait(t))
	if err != nil {
		t.Fatal(err)
	}
	if claimed, _ := decode(t, "task_claim", r); claimed["taskId"] != id {
		t.Errorf("claimed %v", claimed)
	}
}

func TestMCPSettings(t *testing.T) {
	t.Parallel()
	for _, tc := range []struct{ args, want string }{
		{"--ttl 1s", "--ttl must be from 5s to 1h0m0s"},
		{"--max-tasks -1", "--max-tasks"},
		{"--id " + strings.Repeat("x", 257), "--id must have at most 256 bytes"},
		{"--ca /nowhere", "private CA"},
		{"more", "takes no arguments"},
	} {
		if r := execute(t, nil, append([]string{"mcp"}, strings.Fields(tc.args)...)...); r.code != exitUsage || r.out != "" || !strings.Contains(r.log, tc.want) {
			t.Errorf("%s: %+v", tc.args, r)
		}
	}
}
