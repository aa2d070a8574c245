package server

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/claudebench/claudebench/commands"
	"github.com/claudebench/claudebench/internal/api"
	"github.com/claudebench/claudebench/internal/auth"
	"github.com/claudebench/claudebench/internal/config"
	"github.com/claudebench/claudebench/internal/rest"
)

// transports call a method, each in its own way, and return the code of the error, or 0.
var transports = map[string]func(t *testing.T, c *client, secret, method, params string) int{
	"/rpc": func(t *testing.T, c *client, secret, method, params string) int {
		t.Helper()
		_, body := c.post(t, "/rpc", fmt.Sprintf(`{"jsonrpc":"2.0","id":1,"method":%q,"params":%s}`, method, params), bearing(secret))
		return codeIn(t, body)
	},
	"/api": func(t *testing.T, c *client, secret, method, params string) int {
		t.Helper()
		status, body := c.post(t, rest.Path(method), params, bearing(secret))
		code := codeIn(t, body)
		if want := rest.Status(&api.Error{Code: code}); code != 0 && status != want {
			t.Errorf("%s %s: status %d, want %d: %s", method, params, status, want, body)
		}
		return code
	},
	"/mcp": func(t *testing.T, c *client, secret, method, params string) int {
		t.Helper()
		tool := strings.ReplaceAll(method, ".", "_")
		_, body := c.post(t, "/mcp", fmt.Sprintf(`{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":%q,"arguments":%s}}`, tool, params),
			bearing(secret))
		var answer struct {
			Result *struct {
				IsError bool
				Content []struct{ Text string }
			}
			Error *struct{ Message string }
		}
		if err := json.Unmarshal([]byte(body), &answer); err != nil {
			t.Fatalf("%s: %s: %v", method, body, err)
		}
		if answer.Error != nil && strings.Contains(answer.Error.Message, "unknown tool") {
			return api.CodeMethodNotFound
		}
		if answer.Result == nil || len(answer.Result.Content) != 1 {
			t.Fatalf("%s: %s", method, body)
		}
		text, _, _ := strings.Cut(answer.Result.Content[0].Text, "\nNext: ")
		return codeIn(t, `{"error":`+text+`}`)
	},
}

// codeIn returns the code of the error in a response, or 0 if there is none.
func codeIn(t *testing.T, body string) int {
	t.Helper()
	var answer struct{ Error struct{ Code int } }
	if err := json.Unmarshal([]byte(body), &answer); err != nil {
		t.Fatalf("%s: %v", body, err)
	}
	return answer.Error.Code
}

// For each method and each transport: which roles may call it, and that an agent's token may call
// it only for its own instances and tasks. A new method must be added here.
func TestWhoMayCallWhat(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "tokens.yaml")
	secrets := authFile(t, path)
	var more strings.Builder
	for _, token := range []api.Token{
		{Name: "other", Roles: []string{api.RoleAgent}}, {Name: "north", Roles: []string{api.RoleAgent}, InstancePrefix: "north:"},
	} {
		entry, secret, err := auth.NewEntry(token)
		if err != nil {
			t.Fatal(err)
		}
		more.WriteString(entry)
		secrets[token.Name] = secret
	}
	text, err := os.ReadFile(path)
	if err == nil {
		err = os.WriteFile(path, append(text, more.String()...), 0o600)
	}
	if err != nil {
		t.Fatal(err)
	}
	c := newClient(t, startServer(t, settings(t, func(cfg *config.Config) { cfg.AuthFile = path }), &screen{}).Addr())
	post := func(method, params string) {
		t.Helper()
		if code := transports["/rpc"](t, c, secrets["agent"], method, params); code != 0 {
			t.Fatalf("%s %s: %d", method, params, code)
		}
	}
	// The token agent owns the instance w (events 1 and 2), t-3, which w holds, and t-5, which
	// waits.
	post("system.register", `{"id":"w","roles":["worker"]}`)
	post("task.create", `{"text":"held"}`)
	post("task.claim", `{"workerId":"w"}`)
	post("task.create", `{"text":"waits"}`)

	unlisted, err := commands.MethodNames()
	if err != nil {
		t.Fatal(err)
	}
	everybody, reads := api.Roles(), ""
	writers := []string{api.RoleAgent, api.RoleOperator, api.RoleAdmin}
	for _, m := range []struct {
		method string
		roles  []string
		theirs string // a call in another's name, or for another's task; "" if there is none
	}{
		// It returns registered: false, see TestInstancesBelongToTokens.
		{"system.register", writers, reads},
		{"system.heartbeat", writers, `{"instanceId":"w"}`},
		{"system.unregister", writers, `{"instanceId":"w"}`},
		{"system.health", everybody, reads},
		{"system.check_health", writers, `{"timeout":0}`},
		{"system.metrics", everybody, reads},
		{"system.get_state", everybody, reads},
		{"system.info", everybody, reads},
		{"audit.status", everybody, reads},
		{"audit.diff", []string{api.RoleAuditor, api.RoleOperator, api.RoleAdmin}, reads},
		{"audit.verify", []string{api.RoleAuditor, api.RoleOperator, api.RoleAdmin}, reads},
		{"queue.pause", []string{api.RoleOperator, api.RoleAdmin}, reads},
		{"queue.resume", []string{api.RoleOperator, api.RoleAdmin}, reads},
		{"system.subscribers", everybody, reads},
		{"system.batch.process", writers, `{"batchId":"b","instanceId":"w","items":[1]}`},
		{"system.quorum.vote", writers, `{"decision":"d","instanceId":"w","value":1}`},
		{"system.discover", everybody, reads},
		{"system.flush", []string{api.RoleAdmin}, `{"confirm":"FLUSH_ALL_DATA"}`},
		{"task.create", writers, reads},
		{"task.create_many", writers, reads},
		{"task.complete_many", writers, reads}, // its items have errors of their own
		{"task.update", writers, `{"id":"t-3","updates":{"status":"completed"}}`},
		{"task.assign", writers, `{"taskId":"t-5","instanceId":"w"}`},
		{"task.unassign", writers, `{"taskId":"t-3"}`},
		{"task.claim", writers, `{"workerId":"w"}`},
		{"task.complete", writers, `{"id":"t-3","workerId":"w","attempt":1}`},
		{"task.progress", writers, `{"id":"t-3","workerId":"w","attempt":1}`},
		{"task.cancel", writers, `{"id":"t-3"}`},
		{"task.retry", writers, `{"id":"t-3"}`},
		{"task.cancel_many", writers, reads}, // it passes over the tasks of others
		{"task.retry_many", writers, reads},
		{"task.delete_many", writers, reads},
		{"limit.set", []string{api.RoleOperator, api.RoleAdmin}, reads},
		{"limit.list", everybody, reads},
		{"limit.delete", []string{api.RoleOperator, api.RoleAdmin}, reads},
		{"hook.record", writers, reads}, // with another's session, it says nothing about its instance
		{"task.list", everybody, reads},
		{"task.get", everybody, reads},
		{"task.delete", writers, `{"id":"t-5"}`},
		{"schedule.put", []string{api.RoleOperator, api.RoleAdmin}, reads},
		{"schedule.get", everybody, reads},
		{"schedule.list", everybody, reads},
		{"schedule.delete", []string{api.RoleOperator, api.RoleAdmin}, reads},
		{"session.list", everybody, reads},
		{"session.get", everybody, reads},
		{"event.get", everybody, reads},
		{"task.history", everybody, reads},
		{"instance.history", everybody, reads},
		{"event.list", everybody, reads},
	} {
		unlisted = slices.DeleteFunc(unlisted, func(name string) bool { return name == m.method })
		hidden := slices.Contains([]string{
			"system.info", "system.subscribers", "system.flush", "task.complete_many", "task.history", "instance.history", "event.list", "event.get",
			"hook.record", "audit.verify", "audit.status", "audit.diff", "queue.pause", "queue.resume",
			"task.progress", "task.cancel", "task.retry", "task.cancel_many", "task.retry_many", "task.delete_many", "limit.set", "limit.list", "limit.delete",
			"schedule.put", "schedule.get", "schedule.list", "schedule.delete",
		}, m.method)
		for path, call := range transports {
			for _, role := range everybody {
				// An unknown param: an authorised call is rejected for it, so nothing happens.
				want := api.CodeUnauthorized
				if slices.Contains(m.roles, role) {
					want = api.CodeInvalidParams
				}
				if hidden && path == "/mcp" {
					want = api.CodeMethodNotFound
				}
				if code := call(t, c, secrets[role], m.method, `{"unknown":1}`); code != want {
					t.Errorf("%s by %s as %s: %d, want %d", m.method, path, role, code, want)
				}
			}
			for _, who := range []string{"other", "north"} {
				want := api.CodeUnauthorized
				if hidden && path == "/mcp" {
					want = api.CodeMethodNotFound
				}
				if m.theirs == "" {
					continue
				}
				if code := call(t, c, secrets[who], m.method, m.theirs); code != want {
					t.Errorf("%s %s by %s as %s: %d, want %d", m.method, m.theirs, path, who, code, want)
				}
			}
		}
	}
	if len(unlisted) > 0 {
		t.Errorf("who may call %s?", strings.Join(unlisted, ", "))
	}
}
