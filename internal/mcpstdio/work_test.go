package mcpstdio

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/modelcontextprotocol/go-sdk/jsonrpc"
	sdk "github.com/modelcontextprotocol/go-sdk/mcp"

	"github.com/claudebench/claudebench/internal/testenv"
)

// An agent works through tasks without a word about who it is. It is registered while it runs.
func TestAnAgentWorks(t *testing.T) {
	t.Parallel()
	f := start(t)
	a := f.agent(t, nil)
	if met := a.InitializeResult(); !strings.Contains(met.Instructions, `"a"`) || strings.Contains(met.Instructions, "system_register") || len(met.Instructions) > 1500 {
		t.Errorf("instructions: %s", met.Instructions)
	}
	first, second := a.use(t, "task_create", params{"text": "<one>", "priority": 90})["id"], a.use(t, "task_create", params{"text": "two"})["id"]
	for _, id := range []any{first, second} {
		task := a.use(t, "task_claim", nil)["task"].(params)
		if task["id"] != id || task["assignedTo"] != "a" {
			t.Errorf("claimed %v, want %v", task, id)
		}
		if done := a.use(t, "task_complete", params{"id": id, "attempt": task["attempt"], "result": `{"n":1}`}); done["status"] != "completed" {
			t.Errorf("completed %v", done)
		}
	}
	if got := a.use(t, "task_get", params{"id": first}); got["text"] != "<one>" || got["result"].(params)["n"] != 1.0 {
		t.Errorf("the task: %v", got)
	}
	many := a.use(t, "task_create_many", params{"tasks": `[{"text":"x"},"{\"text\":\"y\"}"]`})
	if many["succeeded"] != 2.0 {
		t.Errorf("created %v", many)
	}
	if voted := a.use(t, "system_quorum_vote", params{"decision": "d", "value": "yes", "totalInstances": 1}); voted["finalDecision"] != "yes" {
		t.Errorf("voted: %v", voted)
	}
	if done := a.use(t, "system_batch_process", params{"batchId": "b", "items": []string{"x"}}); done["processed"] != true {
		t.Errorf("batch: %v", done)
	}
	mine := f.direct(t, "task.create", params{"text": "assigned"})["id"]
	if got := a.use(t, "task_assign", params{"taskId": mine}); got["instanceId"] != "a" {
		t.Errorf("assigned: %v", got)
	}
	if _, text, _ := a.try(t, "task_create", params{"colour": 1}); !strings.Contains(text, "colour") || !strings.Contains(text, "Next: correct the argument") {
		t.Errorf("a wrong argument: %s", text)
	}
	read, err := a.ReadResource(t.Context(), &sdk.ReadResourceParams{URI: fmt.Sprintf("claudebench://task/%s", first)})
	if err != nil || !strings.Contains(read.Contents[0].Text, `"<one>"`) {
		t.Errorf("a resource: %+v, %v", read, err)
	}
	if list, err := a.ListResources(t.Context(), nil); err != nil || len(list.Resources) != 2 {
		t.Errorf("resources: %+v, %v", list, err)
	}
	if !f.alive(t, "a") {
		t.Error("it is not registered")
	}
	a.leave(t)
	if f.alive(t, "a") {
		t.Error("it is registered after its end")
	}
}

// The tools are the coordinator's, without what the server does by itself.
func TestTools(t *testing.T) {
	t.Parallel()
	f := start(t)
	list, err := f.agent(t, nil).ListTools(t.Context(), nil)
	if err != nil {
		t.Fatal(err)
	}
	names := map[string]bool{}
	for _, tool := range list.Tools {
		names[tool.Name] = true
		text := string(encode(tool.InputSchema)) + tool.Description
		for _, hidden := range []string{"workerId", "idempotencyKey", "system_register", "system_heartbeat"} {
			if strings.Contains(text, hidden) {
				t.Errorf("%s mentions %s: %s", tool.Name, hidden, text)
			}
		}
		if named := strings.Contains(text, "instanceId"); named != (tool.Name == "task_assign" || tool.Name == "session_list") {
			t.Errorf("%s: %s", tool.Name, text)
		}
		schema := tool.InputSchema.(params)
		required, _ := schema["required"].([]any)
		properties, _ := schema["properties"].(params)
		for _, name := range required {
			if properties[name.(string)] == nil {
				t.Errorf("%s requires %v, which it does not have", tool.Name, name)
			}
		}
	}
	for _, name := range own {
		if names[name] {
			t.Errorf("%s is offered", name)
		}
	}
	if !names["task_claim"] || !names["task_create_many"] || len(names) < 15 {
		t.Errorf("the tools are %v", names)
	}
}

// The prompts name only tools that there are, and no registration.
func TestPrompts(t *testing.T) {
	t.Parallel()
	a := start(t).agent(t, nil)
	list, err := a.ListPrompts(t.Context(), nil)
	if err != nil || len(list.Prompts) != 2 {
		t.Fatalf("%+v, %v", list, err)
	}
	for _, p := range list.Prompts {
		got, err := a.GetPrompt(t.Context(), &sdk.GetPromptParams{Name: p.Name})
		if err != nil {
			t.Fatal(err)
		}
		if text := got.Messages[0].Content.(*sdk.TextContent).Text; strings.Contains(text, "register") && !strings.Contains(text, "registered already") || strings.Contains(text, "idempotencyKey") || strings.Contains(text, "workerId") {
			t.Errorf("%s: %s", p.Name, text)
		}
	}
	if _, err := a.GetPrompt(t.Context(), &sdk.GetPromptParams{Name: "rest"}); err == nil {
		t.Error("a prompt that there is not")
	}
}

// An answer that is lost on its way is asked for again, and nothing is done twice.
func TestLostAnswersRepeatNothing(t *testing.T) {
	t.Parallel()
	f := start(t)
	a := f.agent(t, nil)
	var lost []string
	f.on(func(tool string, w http.ResponseWriter, _ []byte) bool {
		// The first answer to each tool that changes something.
		if slices.Contains(lost, tool) || !slices.Contains([]string{"task_create", "task_create_many", "task_claim", "task_complete"}, tool) {
			return false
		}
		lost = append(lost, tool)
		hangUp(w)
		return true
	})
	id := a.use(t, "task_create", params{"text": "x"})["id"]
	a.use(t, "task_create_many", params{"tasks": []params{{"text": "y"}, {"text": "z"}}})
	claimed := a.use(t, "task_claim", nil)
	if claimed["taskId"] != id {
		t.Errorf("claimed %v", claimed)
	}
	if done := a.use(t, "task_complete", params{"id": id, "attempt": 1, "result": "1"}); done["status"] != "completed" {
		t.Errorf("completed %v", done)
	}
	if len(lost) != 4 {
		t.Errorf("lost %v", lost)
	}
	if all := f.direct(t, "task.list", nil); all["totalCount"] != 3.0 {
		t.Errorf("created %v tasks, want 3", all["totalCount"])
	}
	if held := f.direct(t, "task.list", params{"status": "in_progress"}); held["totalCount"] != 0.0 {
		t.Errorf("it holds %v", held)
	}
}

// A call that the client has given up and then makes again is the same call.
func TestACallGivenUpIsRepeated(t *testing.T) {
	t.Parallel()
	f := start(t)
	a := f.agent(t, nil)
	a.use(t, "system_health", nil) // it has looked for what it holds
	for range 2 {
		f.direct(t, "task.create", params{"text": "x"})
	}
	gaveUp := make(chan struct{})
	answer := sync.OnceFunc(func() { close(gaveUp) })
	t.Cleanup(answer) // the proxy does not end before
	f.on(func(tool string, w http.ResponseWriter, _ []byte) bool {
		if tool == "task_claim" {
			<-gaveUp // the task is claimed, and the answer is under way
			hangUp(w)
		}
		return tool == "task_claim"
	})
	ctx, giveUp := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() {
		_, err := a.CallTool(ctx, &sdk.CallToolParams{Name: "task_claim"})
		ended <- err
	}()
	testenv.Eventually(t, 10*time.Second, func() (bool, string) {
		return f.direct(t, "task.list", params{"status": "in_progress"})["totalCount"] == 1.0, "nothing is claimed"
	})
	giveUp()
	if err := <-ended; err == nil {
		t.Fatal("the call was not given up")
	}
	testenv.Eventually(t, 10*time.Second, func() (bool, string) { // the server has noticed
		return strings.Contains(a.log.String(), "gave up"), a.log.String()
	})
	answer()
	f.on(nil)
	// If the model does something else first, it is told what it holds.
	if _, _, notes := a.try(t, "system_health", nil); len(notes) != 1 || !strings.Contains(notes[0], "you hold task ") {
		t.Errorf("it is told %q", notes)
	}
	again := a.use(t, "task_claim", nil)
	if again["claimed"] != true || again["task"].(params)["attempt"] != 1.0 {
		t.Errorf("claimed %v", again)
	}
	if held := f.direct(t, "task.list", params{"status": "in_progress"}); held["totalCount"] != 1.0 {
		t.Errorf("it holds %v tasks, want one", held["totalCount"])
	}
	// The call after that is another one.
	if next := a.use(t, "task_claim", nil); next["claimed"] != true || next["taskId"] == again["taskId"] {
		t.Errorf("claimed %v", next)
	}
}

// The trace of a call reaches the coordinator.
func TestTheTraceOfACall(t *testing.T) {
	t.Parallel()
	f := start(t)
	a := f.agent(t, nil)
	const trace = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
	_, err := a.CallTool(t.Context(), &sdk.CallToolParams{Name: "task_create", Meta: sdk.Meta{"traceparent": trace, "other": "x"}, Arguments: params{"text": "x"}})
	if err != nil {
		t.Fatal(err)
	}
	if sent := f.last(t, "task_create").Params.Meta; len(sent) != 1 || sent["traceparent"] != trace {
		t.Errorf("sent %v", sent)
	}
}

// A client that sends the same request twice gets the same answer twice.
func TestTheSameRequestTwice(t *testing.T) {
	t.Parallel()
	k := keys{process: "p", now: time.Now}
	one, digest := k.of("int64 7", "task_create", []byte(`{"text":"x"}`))
	again, _ := k.of("int64 7", "task_create", []byte(`{"text":"x"}`))
	other, _ := k.of("int64 8", "task_create", []byte(`{"text":"x"}`))
	reused, _ := k.of("int64 7", "task_create", []byte(`{"text":"y"}`))
	if one != again || one == other || one == reused {
		t.Errorf("%s, %s; %s, %s", one, again, other, reused)
	}
	k.unheard(digest, one)
	if retried, _ := k.of("int64 9", "task_create", []byte(`{"text":"x"}`)); retried != one {
		t.Errorf("the next call has the key %s, want %s", retried, one)
	}
	if next, _ := k.of("int64 10", "task_create", []byte(`{"text":"x"}`)); next == one {
		t.Error("the call after the next has the same key")
	}
}

// A call that was given up long ago is not continued: what the model asks for now is meant anew. Of
// many such calls, the latest are remembered.
func TestOldCallsAreNotContinued(t *testing.T) {
	t.Parallel()
	now := time.Now()
	k := keys{process: "p", now: func() time.Time { return now }}
	call := func(n int) []byte { return fmt.Appendf(nil, `{"text":"%d"}`, n) }
	first := map[int]string{}
	for n := range maxUnanswered + 1 {
		key, digest := k.of(fmt.Sprint("int64 ", n), "task_create", call(n))
		k.unheard(digest, key)
		first[n] = key
	}
	now = now.Add(repeatWithin - time.Second)
	for n, continued := range map[int]bool{0: false, 1: true, maxUnanswered: true} {
		if again, _ := k.of("int64 1000", "task_create", call(n)); (again == first[n]) != continued {
			t.Errorf("call %d: the key is %s after %s", n, again, first[n])
		}
	}
	now = now.Add(2 * time.Second)
	if late, _ := k.of("int64 2000", "task_create", call(2)); late == first[2] || len(k.unanswered) != 0 {
		t.Errorf("after ten minutes the key is %s; %d calls are remembered", late, len(k.unanswered))
	}
}

// Two calls with the same arguments are two calls, because their JSON-RPC ids differ.
func TestEqualCallsAreTwo(t *testing.T) {
	t.Parallel()
	a := start(t).agent(t, nil)
	if one, two := a.use(t, "task_create", params{"text": "x"})["id"], a.use(t, "task_create", params{"text": "x"})["id"]; one == two {
		t.Errorf("both created %v", one)
	}
}

// The JSON-RPC id of a call reaches the key of its idempotency.
func TestTheIDOfARequestMakesItsKey(t *testing.T) {
	t.Parallel()
	id, err := jsonrpc.MakeID(7.0)
	if err != nil {
		t.Fatal(err)
	}
	seen := map[string]bool{}
	for _, text := range []string{
		`{"name":"task_create","arguments":{"text":"x"}}`, `{"name":"task_create","_meta":{"progressToken":1},"arguments":{"text":"x"}}`,
	} {
		raw := withID(json.RawMessage(text), id)
		var p struct {
			Meta map[string]any `json:"_meta"`
		}
		if err := json.Unmarshal(raw, &p); err != nil {
			t.Fatal(err)
		}
		seen[fmt.Sprint(p.Meta[idMeta])] = true
	}
	if len(seen) != 1 || seen["<nil>"] {
		t.Errorf("ids: %v", seen)
	}
}

// A claim waits for as long as clients wait for a tool, if the coordinator lets claims wait.
func TestTheTimeThatAClaimWaits(t *testing.T) {
	t.Parallel()
	for _, waits := range []bool{true, false} {
		all := &tools{id: "a", given: map[string]given{"task_claim": {params: map[string]bool{"workerId": true, "waitMs": waits}}}}
		for sent, want := range map[string]string{``: `30000`, `null`: `30000`, `{}`: `30000`, `{"waitMs":null}`: `30000`, `{"waitMs":7}`: `7`, `{"waitMs":60000}`: `50000`, `{"waitMs":"x"}`: `"x"`} {
			arguments, _ := all.fill("task_claim", json.RawMessage(sent), "k")
			if got := string(arguments["waitMs"]); waits && got != want || !waits && got != "" && !strings.Contains(sent, got) {
				t.Errorf("%s, and the coordinator lets claims wait: %t: %s, want %s", sent, waits, got, want)
			}
		}
	}
}

// Without an answer for long, the client gets progress notifications.
func TestProgress(t *testing.T) {
	t.Parallel()
	f := start(t)
	a := f.agent(t, nil)
	enough := make(chan struct{})
	answer := sync.OnceFunc(func() { close(enough) })
	t.Cleanup(answer) // the proxy does not end before
	f.on(func(tool string, _ http.ResponseWriter, _ []byte) bool {
		if tool == "task_claim" {
			<-enough
		}
		return false
	})
	ended := make(chan error, 1)
	go func() {
		p := &sdk.CallToolParams{Name: "task_claim", Arguments: params{"waitMs": 0}}
		p.SetProgressToken("token")
		_, err := a.CallTool(t.Context(), p)
		ended <- err
	}()
	last := -1.0
	for range 3 {
		p := <-a.progress
		if p.ProgressToken != "token" || p.Progress <= last || p.Message != "waiting for a task" {
			t.Errorf("%+v after %v", p, last)
		}
		last = p.Progress
	}
	answer()
	if err := <-ended; err != nil {
		t.Error(err)
	}
	a.use(t, "task_claim", params{"waitMs": 0}) // without a token
	for len(a.progress) > 0 {
		<-a.progress // sent before the answer
	}
}
