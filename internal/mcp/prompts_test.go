package mcp_test

import (
	"fmt"
	"regexp"
	"testing"
)

// Each prompt that is listed can be had. It names only tools that there are.
func TestPrompts(t *testing.T) {
	t.Parallel()
	h := handler(t, nil, nil, nil)
	tools := map[string]bool{}
	for _, tool := range ask[listing](t, h, "tools/list", "{}").Result.Tools {
		tools[tool.Name] = true
	}
	type prompts struct {
		Prompts []struct{ Name, Title, Description string }
	}
	type texts struct {
		Messages []struct {
			Role    string
			Content struct{ Type, Text string }
		}
	}
	var names []string
	for _, p := range ask[prompts](t, h, "prompts/list", "{}").Result.Prompts {
		names = append(names, p.Name)
		if p.Title == "" || p.Description == "" {
			t.Errorf("%+v does not say what it is for", p)
		}
		got := ask[texts](t, h, "prompts/get", fmt.Sprintf(`{"name":%q}`, p.Name)).Result.Messages
		if len(got) != 1 || got[0].Role != "user" || got[0].Content.Type != "text" {
			t.Fatalf("%s: %+v", p.Name, got)
		}
		for _, tool := range regexp.MustCompile(`\b(task|system)_[a-z_]+`).FindAllString(got[0].Content.Text, -1) {
			if !tools[tool] {
				t.Errorf("%s names %s, which is no tool", p.Name, tool)
			}
		}
	}
	if want := "[lead work]"; fmt.Sprint(names) != want {
		t.Errorf("the prompts are %v, want %s", names, want)
	}
	if a := ask[texts](t, h, "prompts/get", `{"name":"rest"}`); a.Error == nil {
		t.Errorf("a prompt that there is not: %+v", a)
	}
}
