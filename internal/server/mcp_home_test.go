package server

import (
	"encoding/json"
	"fmt"
	"maps"
	"net/http"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/modelcontextprotocol/go-sdk/mcp"

	"github.com/claudebench/claudebench/internal/config"
	"github.com/claudebench/claudebench/internal/testenv"
)

// obedient is a model that does what the hints of errors say, and nothing else.
type obedient struct {
	*model
	id   string // of its instance
	task string
	did  []string
}

// call calls a tool, and follows the hints until the call succeeds or the hints say to drop it. It
// returns the result, or the error text of the last call.
func (o *obedient) call(t *testing.T, tool string, arguments params) (object, string) {
	t.Helper()
	for range 8 {
		result, err := o.CallTool(t.Context(), &mcp.CallToolParams{Name: tool, Arguments: arguments})
		if err != nil {
			t.Fatal(err)
		}
		o.did = append(o.did, tool)
		text := said(t, result)
		if !result.IsError {
			structured, _ := result.StructuredContent.(object)
			return structured, ""
		}
		failed, next, _ := strings.Cut(text, "\nNext: ")
		switch {
		case strings.Contains(next, "call system_register for this instance"):
			o.use(t, "system_register", params{"id": o.id, "roles": []string{"worker"}, "metadata": params{"sessionId": "s"}})
			o.did = append(o.did, "system_register")
		case strings.Contains(next, "go on as if this call had succeeded") && strings.Contains(failed, fmt.Sprintf("%q", o.id)):
			return nil, ""
		case strings.Contains(next, "call task_assign with this taskId and your own instanceId, then repeat this call"):
			if _, refused := o.call(t, "task_assign", params{"taskId": o.task, "instanceId": o.id}); strings.Contains(refused, "Unauthorized") {
				claimed, _ := o.call(t, "task_claim", params{"workerId": o.id})
				if claimed["taskId"] != o.task {
					return nil, text
				}
				arguments = maps.Clone(arguments)
				arguments["attempt"] = claimed["task"].(object)["attempt"]
			}
		case strings.Contains(next, "call task_get: as long as status is pending"):
			if o.use(t, "task_get", params{"id": o.task})["status"] != "pending" {
				return nil, text
			}
			o.call(t, "task_unassign", params{"taskId": o.task})
			o.call(t, "task_assign", params{"taskId": o.task, "instanceId": o.id})
		default:
			return nil, text
		}
	}
	t.Fatalf("the hints lead nowhere: %v", o.did)
	return nil, ""
}

// sweep declares all instances dead.
func sweep(t *testing.T, c *client) {
	t.Helper()
	testenv.Eventually(t, margin, func() (bool, string) { // silent for longer than 0 ms
		r := call[struct{ Failed []string }](t, c, "system.check_health", params{"timeout": 0})
		return len(r.Failed) > 0, fmt.Sprintf("failed: %v", r.Failed)
	})
}

// A worker that was silent for too long brings the result of its finished work home by doing what
// the hints of the errors say, unless another worker has begun the task again.
func TestHintsBringAResultHome(t *testing.T) {
	t.Parallel()
	for name, tc := range map[string]struct {
		meanwhile func(t *testing.T, c *client, rdb func(...any), task string)
		first     string // part of the first error
		want      string // status of the task
	}{
		"its registration has expired": {
			func(_ *testing.T, _ *client, redis func(...any), _ string) { redis("DEL", "instance:w") },
			"Instance not registered", "completed",
		},
		"the task waits": {
			func(t *testing.T, c *client, _ func(...any), _ string) { sweep(t, c) },
			"NOT_ASSIGNED", "completed",
		},
		"it is registered again and works on other tasks": {
			func(t *testing.T, c *client, _ func(...any), _ string) {
				sweep(t, c)
				call[object](t, c, "system.register", params{"id": "w", "roles": []string{"worker"}, "metadata": params{"maxTasks": 0}})
				c.create(t, params{"text": "another", "priority": 100})
				call[claim](t, c, "task.claim", params{"workerId": "w"})
			},
			"NOT_ASSIGNED", "completed",
		},
		"another worker has the task and has not begun": {
			func(t *testing.T, c *client, _ func(...any), _ string) {
				sweep(t, c)
				call[object](t, c, "system.register", params{"id": "v", "roles": []string{"worker"}})
			},
			"NOT_OWNER", "completed",
		},
		"another worker has begun": {
			func(t *testing.T, c *client, _ func(...any), _ string) {
				sweep(t, c)
				call[object](t, c, "system.register", params{"id": "v", "roles": []string{"worker"}})
				call[claim](t, c, "task.claim", params{"workerId": "v"})
			},
			"NOT_OWNER", "in_progress",
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			cfg := settings(t, func(c *config.Config) { c.MonitorInterval = time.Hour })
			c := start(t, cfg)
			rdb, prefix := redisOf(t, cfg), keysOf(t, cfg).Prefix()
			o := &obedient{model: meet(t, c), id: "w"}
			o.use(t, "system_register", params{"id": "w", "roles": []string{"worker"}, "metadata": params{"sessionId": "s"}, "ttlMs": 30_000})
			o.task = o.use(t, "task_create", params{"text": "x"})["id"].(string)
			o.use(t, "task_claim", params{"workerId": "w"})
			tc.meanwhile(t, c, func(command ...any) {
				command[1] = prefix + fmt.Sprint(command[1])
				if err := rdb.Do(t.Context(), command...).Err(); err != nil {
					t.Fatal(err)
				}
			}, o.task)
			finish := params{"id": o.task, "workerId": "w", "attempt": 1, "result": params{"words": 7}}
			if text := o.err(t, "task_complete", finish); !strings.Contains(text, tc.first) {
				t.Errorf("the first answer: %s", text)
			}
			_, left := o.call(t, "task_complete", finish)
			task := o.use(t, "task_get", params{"id": o.task})
			if task["status"] != tc.want || (left == "") != (tc.want == "completed") {
				t.Errorf("after %v it is %v: %s", o.did, task, left)
			}
			if tc.want == "completed" && fmt.Sprint(task["result"]) != "map[words:7]" {
				t.Errorf("the result is %v", task["result"])
			}
		})
	}
}

// An agent's token may not assign a task that another token created. The hint leads it to claim the
// task again.
func TestHintsBringAResultHomeWithAToken(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "auth.yaml")
	secrets := authFile(t, path)
	c := newClient(t, startServer(t, settings(t, func(cfg *config.Config) {
		cfg.AuthFile, cfg.MonitorInterval = path, time.Hour
	}), &screen{}).Addr())
	as := func(role string) *client {
		return &client{url: c.url, http: &http.Client{Transport: withToken{c.http.Transport, secrets[role]}, Timeout: c.http.Timeout}}
	}
	operator := as("operator")
	o := &obedient{model: meet(t, as("agent")), id: "w"}
	o.task = operator.create(t, params{"text": "x"})
	o.use(t, "system_register", params{"id": "w", "roles": []string{"worker"}, "ttlMs": 30_000})
	o.use(t, "task_claim", params{"workerId": "w"})
	sweep(t, operator)
	if _, left := o.call(t, "task_complete", params{"id": o.task, "workerId": "w", "attempt": 1, "result": "done"}); left != "" {
		t.Errorf("after %v: %s", o.did, left)
	}
	var task struct{ Result json.RawMessage }
	if o.read(t, "claudebench://task/"+o.task, &task); string(task.Result) != `"done"` {
		t.Errorf("the result is %s", task.Result)
	}
}

// withToken sends a token with each request.
type withToken struct {
	next   http.RoundTripper
	secret string
}

func (w withToken) RoundTrip(r *http.Request) (*http.Response, error) {
	r = r.Clone(r.Context())
	r.Header.Set("Authorization", "Bearer "+w.secret)
	return w.next.RoundTrip(r)
}
