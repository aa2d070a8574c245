package mcp_test

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"

	"github.com/claudebench/claudebench/internal/nodetest"
)

// maxTokens is how many tokens of a model's context the tools may use, by the tokenizer of GPT-4o.
// Other models' tokenizers differ by some ten percent.
const maxTokens = 4200

// The official TypeScript clients work through a task. A client whose coordinator is restarted goes
// on, without another handshake.
func TestTypeScriptClients(t *testing.T) {
	t.Parallel()
	programs := nodetest.Install(t)
	for _, tc := range []struct{ generation, version, protocol string }{
		{"v1", "", "2025-11-25"},
		{"v2", "", "2025-11-25"},
		{"v2", "auto", "2026-07-28"},
	} {
		t.Run(tc.generation+tc.version, func(t *testing.T) {
			t.Parallel()
			cfg := settings(t)
			first := startCoordinator(t, cfg)
			c := programs.NewClient(t, tc.generation)
			p := nodetest.Params{"url": "http://" + first.Addr() + "/mcp"}
			if tc.version != "" {
				p["version"] = tc.version
			}
			met := nodetest.Do[nodetest.Connected](t, c, "connect", p)
			if met.Server.Name != "claudebench" || met.Protocol != tc.protocol || !strings.Contains(met.Instructions, "task_claim") {
				t.Errorf("it met %+v", met)
			}
			if tools := nodetest.Do[listing](t, c, "tools", nil); len(tools.Tools) < 15 {
				t.Errorf("tools: %+v", tools)
			}
			use(t, c, "system_register", nodetest.Params{"id": "w", "roles": []string{"worker"}, "metadata": nodetest.Params{"sessionId": "s"}})
			id := use(t, c, "task_create", nodetest.Params{"text": "x"})["id"]
			if claimed := use(t, c, "task_claim", nodetest.Params{"workerId": "w"}); claimed["taskId"] != id {
				t.Errorf("claimed %v", claimed)
			}

			cfg.Listen = first.Addr()
			first.stop(t)
			a := c.Start(t, "call", nodetest.Params{"name": "task_get", "arguments": nodetest.Params{"id": id}}).Wait(t)
			if a.Error == nil {
				t.Errorf("a call without a coordinator: %s", a.Result)
			}
			startCoordinator(t, cfg)

			done := use(t, c, "task_complete", nodetest.Params{"id": id, "workerId": "w", "attempt": 1, "result": `{"words":[1]}`})
			if done["status"] != "completed" {
				t.Errorf("completed: %v", done)
			}
			read := nodetest.Do[struct {
				Contents []struct{ Text string }
			}](t, c, "read", nodetest.Params{"uri": fmt.Sprintf("claudebench://task/%s", id)})
			if len(read.Contents) != 1 || !strings.Contains(read.Contents[0].Text, `"result":{"words":[1]}`) {
				t.Errorf("the task: %+v", read)
			}
			prompt := nodetest.Do[struct {
				Messages []struct{ Content struct{ Text string } }
			}](t, c, "prompt", nodetest.Params{"name": "work"})
			if len(prompt.Messages) != 1 || !strings.Contains(prompt.Messages[0].Content.Text, "task_claim") {
				t.Errorf("the prompt: %+v", prompt)
			}
		})
	}
}

// use calls a tool that must succeed, and returns its structured content.
func use(t *testing.T, c *nodetest.Client, tool string, arguments nodetest.Params) map[string]any {
	t.Helper()
	r := nodetest.Do[nodetest.Called](t, c, "call", nodetest.Params{"name": tool, "arguments": arguments})
	if r.IsError || len(r.Content) != 1 || r.Content[0].Text != string(r.StructuredContent) {
		t.Fatalf("%s %v: %+v", tool, arguments, r)
	}
	var structured map[string]any
	if err := json.Unmarshal(r.StructuredContent, &structured); err != nil {
		t.Fatal(err)
	}
	return structured
}

// The whole list of tools, as a client hands it to its model's provider, stays short in tokens.
func TestTokensOfTools(t *testing.T) {
	t.Parallel()
	c := nodetest.Install(t).NewClient(t, "v1")
	var whole strings.Builder
	var longest string
	most := 0
	for _, tool := range ask[listing](t, handler(t, nil, nil, nil), "tools/list", "{}").Result.Tools {
		text, err := json.Marshal(map[string]any{"name": tool.Name, "description": tool.Description, "input_schema": tool.InputSchema})
		if err != nil {
			t.Fatal(err)
		}
		whole.Write(text)
		if n := nodetest.Do[int](t, c, "tokens", nodetest.Params{"text": string(text)}); n > most {
			most, longest = n, tool.Name
		}
	}
	n := nodetest.Do[int](t, c, "tokens", nodetest.Params{"text": whole.String()})
	t.Logf("all tools: %d bytes, %d tokens; the longest is %s with %d", whole.Len(), n, longest, most)
	if n > maxTokens {
		t.Errorf("the tools have %d tokens, and may have %d", n, maxTokens)
	}
}
