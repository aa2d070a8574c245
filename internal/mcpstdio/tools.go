package mcpstdio

import (
	"encoding/json"
	"maps"
	"slices"
	"strings"
	"sync"

	sdk "github.com/modelcontextprotocol/go-sdk/mcp"
)

// own are the tools that this server calls by itself and does not offer.
var own = []string{"system_register", "system_heartbeat", "system_unregister"}

// selves maps a tool to the param that names the instance in whose name it is called. In
// task_assign, instanceId names the instance that gets the task.
var selves = map[string]string{"system_quorum_vote": "instanceId", "system_batch_process": "instanceId"}

const (
	workerID  = "workerId" // names the caller in every tool that has it
	keyParam  = "idempotencyKey"
	waitParam = "waitMs"
	claimTool = "task_claim"
	// defaultWait and maxWait are how long a claim waits, in ms. Clients stop waiting for a tool
	// after a minute unless they are set up otherwise (the TypeScript SDK, Codex), also if they get
	// progress notifications.
	defaultWait, maxWait = 30_000, 50_000
)

// tools are the tools that are offered to the client.
type tools struct {
	id      string
	server  *sdk.Server
	handler sdk.ToolHandler

	mu    sync.Mutex
	given map[string]given // by name
}

// given is what a tool of the coordinator takes.
type given struct {
	params map[string]bool
	// items is the name of the param whose elements have keys or names of the caller, or "".
	items               string
	itemKey, itemWorker bool
	reads               bool   // it changes nothing
	text                string // the tool as it is offered
}

// offer replaces the offered tools by those of a coordinator.
func (t *tools) offer(list []*sdk.Tool) {
	t.mu.Lock()
	defer t.mu.Unlock()
	before := t.given
	t.given = map[string]given{}
	for _, tool := range list {
		g, offered, err := t.rewrite(tool)
		if err != nil {
			continue // a tool that this program cannot read is of no use to a client either
		}
		t.given[tool.Name] = g
		if slices.Contains(own, tool.Name) || g.text == before[tool.Name].text {
			continue
		}
		t.server.AddTool(offered, t.handler)
	}
	for name := range before {
		if _, there := t.given[name]; !there {
			t.server.RemoveTools(name)
		}
	}
}

// takes returns what a tool takes, and whether the coordinator has it.
func (t *tools) takes(name string) (given, bool) {
	t.mu.Lock()
	defer t.mu.Unlock()
	g, ok := t.given[name]
	return g, ok
}

// rewrite returns a tool without the params that this server fills in.
func (t *tools) rewrite(tool *sdk.Tool) (given, *sdk.Tool, error) {
	text, err := json.Marshal(tool)
	if err != nil {
		return given{}, nil, err
	}
	rewritten := new(sdk.Tool)
	if err := json.Unmarshal(text, rewritten); err != nil {
		return given{}, nil, err
	}
	schema, _ := rewritten.InputSchema.(map[string]any)
	g := given{params: map[string]bool{}, reads: tool.Annotations != nil && tool.Annotations.ReadOnlyHint}
	properties, _ := schema["properties"].(map[string]any)
	for name := range properties {
		g.params[name] = true
	}
	hide(schema, keyParam, workerID, selves[tool.Name])
	if tool.Name == "task_assign" {
		optional(schema, "instanceId")
		explain(properties, "instanceId", "; default: yourself")
	}
	if tool.Name == claimTool {
		if wait, ok := properties[waitParam].(map[string]any); ok {
			wait["maximum"] = maxWait
			wait["description"] = "how long to wait for a task if there is none now, in milliseconds; default 30000"
		}
	}
	for name, p := range properties {
		p, _ := p.(map[string]any)
		if items, ok := p["items"].(map[string]any); ok {
			inner, _ := items["properties"].(map[string]any)
			_, key := inner[keyParam]
			_, worker := inner[workerID]
			if key || worker {
				g.items, g.itemKey, g.itemWorker = name, key, worker
				hide(items, keyParam, workerID)
			}
		}
	}
	rewritten.Description = strings.NewReplacer(
		" To repeat a call safely, give each task an idempotencyKey.", "", " To repeat a call safely, give each item an idempotencyKey.", "",
	).Replace(rewritten.Description)
	if text, err = json.Marshal(rewritten); err != nil {
		return given{}, nil, err
	}
	g.text = string(text)
	return g, rewritten, nil
}

// hide removes properties from the schema of an object.
func hide(schema map[string]any, names ...string) {
	properties, _ := schema["properties"].(map[string]any)
	for _, name := range names {
		delete(properties, name)
		optional(schema, name)
	}
}

// optional makes a property of an object optional.
func optional(schema map[string]any, name string) {
	required, _ := schema["required"].([]any)
	required = slices.DeleteFunc(required, func(v any) bool { return v == name })
	if len(required) == 0 {
		delete(schema, "required")
	} else {
		schema["required"] = required
	}
}

func explain(properties map[string]any, name, more string) {
	if p, ok := properties[name].(map[string]any); ok {
		text, _ := p["description"].(string)
		p["description"] = text + more
	}
}

// fill returns the arguments for the coordinator: those of the client, with who it is and with a
// key, so that the call may be repeated. Arguments that are no object go to the coordinator as they
// are, which says what is wrong with them.
func (t *tools) fill(name string, arguments json.RawMessage, key string) (map[string]json.RawMessage, json.RawMessage) {
	g, _ := t.takes(name)
	all := map[string]json.RawMessage{}
	if len(arguments) > 0 && string(arguments) != "null" {
		if err := json.Unmarshal(arguments, &all); err != nil {
			return nil, arguments
		}
	}
	all = maps.Clone(all)
	me := quote(t.id)
	for _, p := range []string{workerID, selves[name]} {
		if g.params[p] {
			all[p] = me
		}
	}
	if v := all["instanceId"]; name == "task_assign" && (v == nil || string(v) == "null") {
		all["instanceId"] = me
	}
	if g.params[keyParam] {
		all[keyParam] = quote(key)
	}
	if name == claimTool && g.params[waitParam] {
		var wait float64
		switch v := all[waitParam]; {
		case v == nil || string(v) == "null":
			all[waitParam] = json.RawMessage(number(defaultWait))
		case json.Unmarshal(v, &wait) == nil && wait > maxWait:
			all[waitParam] = json.RawMessage(number(maxWait))
		}
	}
	if g.items != "" {
		all[g.items] = g.fillItems(all[g.items], me, key)
	}
	return all, encode(all)
}

// fillItems fills in the elements of an array, which may have been sent as text, as may its
// elements.
func (g given) fillItems(v, me json.RawMessage, key string) json.RawMessage {
	var items []json.RawMessage
	if json.Unmarshal(unwrap(v), &items) != nil {
		return v
	}
	for i, item := range items {
		var members map[string]json.RawMessage
		if json.Unmarshal(unwrap(item), &members) != nil || members == nil {
			continue
		}
		if g.itemKey {
			members[keyParam] = quote(key + "." + number(i))
		}
		if g.itemWorker {
			members[workerID] = me
		}
		items[i] = encode(members)
	}
	return encode(items)
}

// unwrap returns the JSON that a string holds, or v itself.
func unwrap(v json.RawMessage) json.RawMessage {
	var text string
	if json.Unmarshal(v, &text) == nil && json.Valid([]byte(text)) {
		return json.RawMessage(text)
	}
	return v
}
