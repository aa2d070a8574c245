package ui_test

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/claudebench/claudebench/internal/api"
	"github.com/claudebench/claudebench/internal/auth"
	"github.com/claudebench/claudebench/internal/browsertest"
	"github.com/claudebench/claudebench/internal/config"
	"github.com/claudebench/claudebench/internal/server"
	"github.com/claudebench/claudebench/internal/testenv"
)

func TestMain(m *testing.M) { testenv.Main(m) }

type (
	object = map[string]any
	list   = []any
)

// fleet is a coordinator with its stores, and the calls of the agents in it.
type fleet struct {
	t      testing.TB
	cfg    *config.Config
	server *server.Server
	http   *http.Client
	// url is the coordinator's address, which stays the same when it is started again.
	url string
	// tokens are the secrets by role. It is nil without authentication.
	tokens map[string]string
	// secret is the token of the calls.
	secret string
}

// start starts a coordinator on Redis and Postgres, without rate limits. It is stopped when the test
// ends.
func start(t testing.TB, change func(*config.Config)) *fleet {
	t.Helper()
	transport := &http.Transport{MaxIdleConnsPerHost: 8}
	t.Cleanup(transport.CloseIdleConnections)
	f := &fleet{t: t, http: &http.Client{Transport: transport, Timeout: 30 * time.Second}, cfg: &config.Config{
		Listen: "127.0.0.1:0", Namespace: testenv.Namespace(t), InstanceTTL: 10 * time.Minute, MonitorInterval: 200 * time.Millisecond,
		TaskRetention: time.Hour, MaxLosses: 10, RateLimits: config.RateLimits{Off: true}, TokenRateLimits: config.RateLimits{Off: true},
	}}
	if change != nil {
		change(f.cfg)
	}
	if f.cfg.RedisURL == "" {
		f.cfg.RedisURL = testenv.Redis(t).URL()
	}
	if f.cfg.DatabaseURL == "" {
		f.cfg.DatabaseURL = testenv.Postgres(t)
	}
	f.start()
	f.cfg.Listen = f.server.Addr()
	f.url = "http://" + f.server.Addr()
	t.Cleanup(func() { f.stop() })
	return f
}

// startWithTokens is like start with one token for each role, and calls as admin.
func startWithTokens(t testing.TB) *fleet {
	t.Helper()
	secrets := map[string]string{}
	var file strings.Builder
	for _, role := range api.Roles() {
		entry, secret, err := auth.NewEntry(api.Token{Name: "the-" + role, Roles: []string{role}})
		if err != nil {
			t.Fatal(err)
		}
		file.WriteString(entry)
		secrets[role] = secret
	}
	path := filepath.Join(t.TempDir(), "tokens.yaml")
	if err := os.WriteFile(path, []byte(file.String()), 0o600); err != nil {
		t.Fatal(err)
	}
	f := start(t, func(c *config.Config) { c.AuthFile = path })
	f.tokens, f.secret = secrets, secrets[api.RoleAdmin]
	return f
}

// start starts the coordinator, also again after stop.
func (f *fleet) start() {
	f.t.Helper()
	var err error
	if f.server, err = server.Start(context.Background(), f.cfg, server.Options{Logger: slog.New(slog.DiscardHandler), Version: "1.2.3", BreakerOpen: 500 * time.Millisecond}); err != nil {
		f.t.Fatal(err)
	}
}

// stop stops the coordinator. Repeats do nothing.
func (f *fleet) stop() {
	f.t.Helper()
	if f.server == nil {
		return
	}
	if err := f.server.Stop(context.Background()); err != nil {
		f.t.Error(err)
	}
	f.server = nil
}

// ask calls a method. The error is that of the API.
func (f *fleet) ask(method string, params any) (json.RawMessage, *api.Error) {
	f.t.Helper()
	text, ok := params.(string)
	if !ok {
		encoded, err := json.Marshal(params)
		if err != nil {
			f.t.Fatal(err)
		}
		text = string(encoded)
	}
	request, err := http.NewRequestWithContext(context.Background(), http.MethodPost, f.url+"/rpc",
		bytes.NewReader(fmt.Appendf(nil, `{"jsonrpc":"2.0","id":1,"method":%q,"params":%s}`, method, text)))
	if err != nil {
		f.t.Fatal(err)
	}
	request.Header.Set("Content-Type", "application/json")
	if f.secret != "" {
		request.Header.Set("Authorization", "Bearer "+f.secret)
	}
	response, err := f.http.Do(request)
	if err != nil {
		f.t.Fatal(err)
	}
	defer response.Body.Close()
	var answer struct {
		Result json.RawMessage
		Error  *api.Error
	}
	body, err := io.ReadAll(response.Body)
	if err == nil {
		err = json.Unmarshal(body, &answer)
	}
	if err != nil {
		f.t.Fatalf("%s answered %d %.200s: %v", method, response.StatusCode, body, err)
	}
	return answer.Result, answer.Error
}

// call calls a method that must succeed. params is an object, or its JSON as a string.
func (f *fleet) call(method string, params any) object {
	f.t.Helper()
	text, failed := f.ask(method, params)
	if failed != nil {
		f.t.Fatalf("%s %v: %v", method, params, failed)
	}
	var result object
	if err := json.Unmarshal(text, &result); err != nil {
		f.t.Fatalf("%s answered %s: %v", method, text, err)
	}
	return result
}

func (f *fleet) register(id string, roles ...string) {
	f.t.Helper()
	f.call("system.register", object{"id": id, "roles": roles, "metadata": object{"host": "rack-7", "pid": 4711}})
}

// create creates a task and returns its ID.
func (f *fleet) create(text string, more object) string {
	f.t.Helper()
	params := object{"text": text}
	for name, value := range more {
		params[name] = value
	}
	return f.call("task.create", params)["id"].(string)
}

// claim claims a task, which must be there, and returns its ID.
func (f *fleet) claim(worker string) string {
	f.t.Helper()
	claimed := f.call("task.claim", object{"workerId": worker})
	id, ok := claimed["taskId"].(string)
	if !ok {
		f.t.Fatalf("%s claimed nothing: %v", worker, claimed)
	}
	return id
}

// task returns a task.
func (f *fleet) task(id string) object {
	f.t.Helper()
	return f.call("task.get", object{"id": id})
}

// dies lets an instance die of silence, and keeps the others alive.
func (f *fleet) dies(id string, others ...string) {
	f.t.Helper()
	testenv.Eventually(f.t, browsertest.Patience, func() (bool, string) {
		for _, other := range others {
			f.call("system.heartbeat", object{"instanceId": other})
		}
		checked := f.call("system.check_health", object{"timeout": 3000})
		failed, _ := checked["failed"].([]any)
		return slices.Contains(failed, any(id)), fmt.Sprint(checked)
	})
}

// caughtUp waits until task.list has every event until now.
func (f *fleet) caughtUp() {
	f.t.Helper()
	testenv.Eventually(f.t, browsertest.Patience, func() (bool, string) {
		text, failed := f.ask("task.list", object{"limit": 1})
		if failed != nil { // Postgres is not connected yet
			return false, failed.Error()
		}
		return !bytes.Contains(text, []byte(`"behind"`)), string(text)
	})
}

// living are the instances of live.
var living = []string{"build-1", "build-2", "docs-1", "review-1"}

// live makes a fleet as it is on a working day: four workers, and one that has died; tasks in all
// states, t-1 completed and t-2 failed; a batch, a vote that is decided and one that is open.
func (f *fleet) live() *fleet {
	f.t.Helper()
	f.create("Fix the race in the queue of waiting claims", object{"priority": 90, "metadata": object{"roles": list{"go"}, "issue": 412, "branch": "fix/queue-race"}})
	f.create("Upgrade the Postgres driver and run the upgrade test", object{"priority": 80, "metadata": object{"roles": list{"go"}}})
	f.register("build-1", "worker", "go")
	f.claim("build-1")
	f.call("task.complete", `{"id":"t-1","workerId":"build-1","result":{"commit":"9f2c1e7","tests":{"passed":1284,"failed":0},"seconds":0.10,"lines":12345678901234567890}}`)
	f.register("build-2", "worker", "go")
	f.register("docs-1", "worker", "docs")
	f.register("review-1", "worker", "review")
	f.claim("build-2")
	f.call("task.complete", object{"id": "t-2", "workerId": "build-2", "error": object{"exitCode": 1, "stderr": "TestUpgrade: relation \"events\" already exists"}})
	for _, task := range []struct {
		text     string
		priority int
		roles    list
	}{
		{"Find out why the nightly build takes twice as long since Tuesday", 70, list{"go"}},
		{"Write the migration guide for version 2", 60, list{"docs"}},
		{"Review the change of the retry policy", 55, list{"review"}},
		{"Remove the old command-line flags", 50, list{"go"}},
		{"Translate the tutorial", 40, list{"docs"}},
		{"Measure memory with 5,000 subscribers", 40, list{"go"}},
		{"Delete the caches of closed branches", 20, nil},
		{"Answer the question about time zones in the forum", 10, list{"support"}},
	} {
		metadata := object{}
		if task.roles != nil {
			metadata["roles"] = task.roles
		}
		f.create(task.text, object{"priority": task.priority, "metadata": metadata})
	}
	f.register("build-3", "worker", "go")
	f.claim("build-3")
	f.dies("build-3", living...)
	f.claim("build-1")
	f.claim("docs-1")
	f.claim("review-1")
	f.call("system.batch.process", object{"batchId": "import-7", "instanceId": "build-2", "items": list{
		object{"text": "Import the first archive", "priority": 30}, object{"text": "Import the second archive", "priority": 30},
	}})
	for _, voter := range living[:3] {
		f.call("system.quorum.vote", object{"instanceId": voter, "decision": "release-2.0", "value": "on Thursday"})
	}
	f.call("system.quorum.vote", object{"instanceId": "docs-1", "decision": "drop-go-1.25", "value": true})
	f.caughtUp()
	return f
}

// pages are the addresses of a live fleet's pages, and the name that the page gives itself.
var pages = []struct{ path, name string }{
	{"/ui/", "overview"},
	{"/ui/tasks", "tasks"},
	{"/ui/tasks/t-1", "task"},
	{"/ui/fleet", "fleet"},
	{"/ui/fleet/build-1", "instance"},
	{"/ui/schedules", "schedules"},
	{"/ui/events", "events"},
	{"/ui/audit", "audit"},
	{"/ui/system", "system"},
}

// open opens a tab of its own.
func (f *fleet) open(t testing.TB) *browsertest.Tab {
	t.Helper()
	return browsertest.Open(t, f.url)
}

// at opens a tab at an address and waits until its page shows its first data.
func (f *fleet) at(t testing.TB, path, page string) *browsertest.Tab {
	t.Helper()
	tab := f.open(t)
	tab.Go(path)
	ready(tab, page)
	return tab
}

// ready waits until the page with this name shows its first data.
func ready(tab *browsertest.Tab, page string) {
	tab.Until("is ready: "+page, func() bool {
		return browsertest.Eval[bool](tab, fmt.Sprintf(`(() => { const m = document.getElementById("main"); return m?.dataset.page === %q && m.dataset.ready !== undefined; })()`, page))
	})
}

// status waits until the header shows a state: Live, Paused, Behind or Offline.
func status(tab *browsertest.Tab, state string) {
	tab.Until("has the state "+state, func() bool {
		return browsertest.Eval[string](tab, `document.querySelector("header [role=status]")?.textContent ?? ""`) == state
	})
}
