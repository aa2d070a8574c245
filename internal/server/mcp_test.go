package server

import (
	"encoding/json"
	"errors"
	"slices"
	"strings"
	"testing"

	"github.com/google/jsonschema-go/jsonschema"
	"github.com/modelcontextprotocol/go-sdk/jsonrpc"
	"github.com/modelcontextprotocol/go-sdk/mcp"

	"github.com/claudebench/claudebench/internal/config"
	"github.com/claudebench/claudebench/internal/testenv"
)

// model is the SDK's MCP client and the tools that it was offered.
type model struct {
	*mcp.ClientSession
	results map[string]*jsonschema.Resolved // the tools' output schemas
}

// meet connects a client to a coordinator and lists the tools.
func meet(t *testing.T, c *client) *model {
	t.Helper()
	session, err := mcp.NewClient(&mcp.Implementation{Name: "test", Version: "1"}, nil).Connect(t.Context(),
		&mcp.StreamableClientTransport{Endpoint: c.url + "/mcp", HTTPClient: c.http}, nil)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := session.Close(); err != nil {
			t.Error(err)
		}
	})
	m := &model{ClientSession: session, results: map[string]*jsonschema.Resolved{}}
	tools, err := session.ListTools(t.Context(), nil)
	if err != nil {
		t.Fatal(err)
	}
	for _, tool := range tools.Tools {
		text, err := json.Marshal(tool.OutputSchema)
		if err != nil {
			t.Fatal(err)
		}
		schema := new(jsonschema.Schema)
		if err := json.Unmarshal(text, schema); err != nil {
			t.Fatalf("the output schema of %s: %v", tool.Name, err)
		}
		if m.results[tool.Name], err = schema.Resolve(nil); err != nil {
			t.Fatalf("the output schema of %s: %v", tool.Name, err)
		}
	}
	return m
}

// use calls a tool that must succeed. The result must fit the output schema and be the text as
// well.
func (m *model) use(t *testing.T, tool string, arguments params) object {
	t.Helper()
	result, err := m.CallTool(t.Context(), &mcp.CallToolParams{Name: tool, Arguments: arguments})
	if err != nil {
		t.Fatalf("%s %v: %v", tool, arguments, err)
	}
	text := said(t, result)
	if result.IsError {
		t.Fatalf("%s %v: %s", tool, arguments, text)
	}
	var written object
	if err := json.Unmarshal([]byte(text), &written); err != nil {
		t.Fatalf("%s %v: %s: %v", tool, arguments, text, err)
	}
	structured, ok := result.StructuredContent.(object)
	if !ok || len(structured) != len(written) {
		t.Errorf("%s: structured %v, written %s", tool, result.StructuredContent, text)
	}
	if err := m.results[tool].Validate(structured); err != nil {
		t.Errorf("%s: the result %s does not fit its schema: %v", tool, text, err)
	}
	return structured
}

// err calls a tool that must fail, and returns its text.
func (m *model) err(t *testing.T, tool string, arguments params) string {
	t.Helper()
	result, err := m.CallTool(t.Context(), &mcp.CallToolParams{Name: tool, Arguments: arguments})
	if err != nil || !result.IsError {
		t.Fatalf("%s %v: %+v, %v", tool, arguments, result, err)
	}
	return said(t, result)
}

func said(t *testing.T, result *mcp.CallToolResult) string {
	t.Helper()
	if len(result.Content) != 1 {
		t.Fatalf("%d contents", len(result.Content))
	}
	text, ok := result.Content[0].(*mcp.TextContent)
	if !ok {
		t.Fatalf("content %T", result.Content[0])
	}
	return text.Text
}

// read reads a resource.
func (m *model) read(t *testing.T, uri string, into any) {
	t.Helper()
	result, err := m.ReadResource(t.Context(), &mcp.ReadResourceParams{URI: uri})
	if err != nil || len(result.Contents) != 1 {
		t.Fatalf("%s: %+v, %v", uri, result, err)
	}
	if err := json.Unmarshal([]byte(result.Contents[0].Text), into); err != nil {
		t.Fatalf("%s: %s: %v", uri, result.Contents[0].Text, err)
	}
}

// A model works through two coordinators alternately, as behind a load balancer: it registers,
// claims, completes, reads and unregisters.
func TestAWorkersLifeByMCP(t *testing.T) {
	t.Parallel()
	cfg := settings(t, func(c *config.Config) { c.DatabaseURL = testenv.Postgres(t) })
	first, second := start(t, cfg), start(t, cfg)
	first.ready(t)
	second.ready(t)
	a, b := meet(t, first), meet(t, second)
	if _, offered := a.results["system_flush"]; offered || a.results["task_claim"] == nil {
		t.Errorf("tools: %v", a.results)
	}

	a.use(t, "system_register", params{"id": "w", "roles": []string{"worker"}, "metadata": params{"sessionId": "s"}})
	b.use(t, "system_heartbeat", params{"instanceId": "w"})
	// 2^53-1 is the largest integer that the client's own JSON represents exactly.
	id := a.use(t, "task_create", params{"text": "count <words> & lines", "metadata": params{"n": 9007199254740991}})["id"].(string)
	claimed := b.use(t, "task_claim", params{"workerId": "w"})
	if claimed["taskId"] != id {
		t.Fatalf("claimed %v, want %s", claimed, id)
	}
	if text := a.err(t, "task_complete", params{"id": id, "workerId": "other", "attempt": 1}); !strings.Contains(text, "NOT_OWNER") || !strings.Contains(text, "Next: ") {
		t.Errorf("a stranger completes: %s", text)
	}
	if text := a.err(t, "task_complete", params{"colour": 1}); !strings.Contains(text, "-32602") || !strings.Contains(text, "colour") {
		t.Errorf("a strange argument: %s", text)
	}
	done := a.use(t, "task_complete", params{"id": id, "workerId": "w", "attempt": 1, "result": params{"words": []int{1}}})
	if done["status"] != "completed" {
		t.Errorf("completed: %v", done)
	}
	if all := b.use(t, "task_list", params{}); all["totalCount"] != 1.0 {
		t.Errorf("listed: %v", all)
	}
	b.use(t, "task_get", params{"id": id})

	var task struct {
		Status   string
		Metadata struct{ N json.Number }
	}
	if b.read(t, "claudebench://task/"+id, &task); task.Status != "completed" || task.Metadata.N != "9007199254740991" {
		t.Errorf("the task: %+v", task)
	}
	var events []struct{ Type, Actor string }
	if a.read(t, "claudebench://events/recent", &events); len(events) == 0 || events[0].Type != "task.completed" || events[0].Actor != "w" {
		t.Errorf("the events: %+v", events)
	}
	var state struct{ Instances []struct{ ID string } }
	if b.read(t, "claudebench://state", &state); len(state.Instances) != 1 || state.Instances[0].ID != "w" {
		t.Errorf("the state: %+v", state)
	}
	_, err := a.ReadResource(t.Context(), &mcp.ReadResourceParams{URI: "claudebench://task/t-999"})
	if refused := (*jsonrpc.Error)(nil); !errors.As(err, &refused) || refused.Code != jsonrpc.CodeInvalidParams {
		t.Errorf("a task that there is not: %v", err)
	}

	held := a.use(t, "task_create", params{"text": "unfinished"})["id"]
	b.use(t, "task_claim", params{"workerId": "w"})
	if left := a.use(t, "system_unregister", params{"instanceId": "w", "sessionId": "s"}); left["tasksReassigned"] != 1.0 {
		t.Errorf("unregistered: %v", left)
	}
	if task := b.use(t, "task_get", params{"id": held}); task["status"] != "pending" || task["assignedTo"] != nil {
		t.Errorf("its task: %v", task)
	}
}

// While Redis is unavailable, the tools are listed, a call fails with advice, and rpc.discover
// works.
func TestDescriptionsNeedNoRedis(t *testing.T) {
	t.Parallel()
	redis := durable(t)
	c := start(t, settings(t, func(c *config.Config) { c.RedisURL = redis.URL() }))
	if err := redis.Kill(); err != nil {
		t.Fatal(err)
	}
	m := meet(t, c)
	if text := m.err(t, "task_create", params{"text": "x"}); !strings.Contains(text, "Redis unavailable") || !strings.Contains(text, "Next: nothing has changed") {
		t.Errorf("a call without Redis: %s", text)
	}
	doc := call[struct {
		OpenRPC string
		Methods []struct{ Name string }
	}](t, c, "rpc.discover", params{})
	var names []string
	for _, method := range doc.Methods {
		names = append(names, method.Name)
	}
	if doc.OpenRPC == "" || !slices.Contains(names, "task.claim") || !slices.Contains(names, "system.unregister") || !slices.Contains(names, "rpc.discover") {
		t.Errorf("OpenRPC %q, methods %v", doc.OpenRPC, names)
	}
	// With params by position it is rejected as an existing method.
	if _, err := c.ask("rpc.discover", []int{1}); err == nil || !strings.Contains(err.Error(), "-32602") {
		t.Errorf("with params by position: %v", err)
	}
	// The Redis client stops its attempts to connect only when one succeeds.
	if err := redis.Restart(t.Context()); err != nil {
		t.Fatal(err)
	}
	c.ready(t)
}
