package mcp_test

import (
	"context"
	"encoding/json"
	"fmt"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/jsonschema-go/jsonschema"

	"github.com/claudebench/claudebench/commands"
	"github.com/claudebench/claudebench/internal/api"
	"github.com/claudebench/claudebench/internal/command"
)

type listing struct {
	Tools []struct {
		Name, Description         string
		InputSchema, OutputSchema json.RawMessage
		Annotations               map[string]any
	}
}

// maxTools is how many bytes of a model's context the tools may use.
const maxTools = 16 << 10

// What MCP hides of a method, other transports describe: the tools leave the methods' schemas alone.
func TestToolsLeaveTheMethodsAlone(t *testing.T) {
	t.Parallel()
	methods, err := commands.Methods()
	if err != nil {
		t.Fatal(err)
	}
	schemas := func() string {
		var all strings.Builder
		for _, m := range methods {
			for _, schema := range []any{m.Params, m.Result} {
				text, err := json.Marshal(schema)
				if err != nil {
					t.Errorf("%s: %v", m.Name, err)
				}
				all.Write(text)
			}
		}
		return all.String()
	}
	before := schemas()
	handler(t, nil, methods, nil)
	if after := schemas(); after != before {
		t.Errorf("the schemas were\n%s\nand are\n%s", before, after)
	}
}

// Every visible method is a tool, with its schemas and its effect. All tools together leave the
// model room to think.
func TestTools(t *testing.T) {
	t.Parallel()
	list, err := commands.Methods()
	if err != nil {
		t.Fatal(err)
	}
	visible := map[string]*command.Method{}
	for _, m := range list {
		if !m.Hidden {
			visible[strings.ReplaceAll(m.Name, ".", "_")] = m
		}
	}
	size := 0
	dotted := regexp.MustCompile(`\b(task|system)\.[a-z]`)
	for _, tool := range ask[listing](t, handler(t, nil, nil, nil), "tools/list", "{}").Result.Tools {
		m := visible[tool.Name]
		if m == nil {
			t.Errorf("%s is offered", tool.Name)
			continue
		}
		delete(visible, tool.Name)
		size += len(tool.Name) + len(tool.Description) + len(tool.InputSchema)
		want := map[string]any{
			"readOnlyHint": m.Effect == command.Reads, "destructiveHint": m.Effect == command.Destroys,
			"idempotentHint": m.Effect == command.Reads || m.Effect == command.Sets, "openWorldHint": false,
		}
		if diff := cmp.Diff(want, tool.Annotations); diff != "" {
			t.Errorf("%s (-want +got):\n%s", tool.Name, diff)
		}
		if len(tool.Description) != len(m.Description) {
			t.Errorf("%s: %s", tool.Name, tool.Description)
		}
		if name := dotted.FindString(tool.Description + string(tool.InputSchema)); name != "" {
			t.Errorf("%s names a method, and models know tools: %s…", tool.Name, name)
		}
		for what, schema := range map[string]struct {
			given json.RawMessage
			of    *jsonschema.Schema
		}{"input": {tool.InputSchema, m.Params}, "output": {tool.OutputSchema, m.Result}} {
			want := len(schema.of.Properties)
			if what == "input" {
				for _, name := range m.MCPHidden {
					if param, member, nested := strings.Cut(name, "."); !nested {
						want--
					} else if items := itemsOf(t, schema.given, param); len(items) == 0 || slices.Contains(items, member) {
						t.Errorf("%s shows %s among %v", tool.Name, name, items)
					}
				}
			}
			if names := properties(t, schema.given); len(names) != want {
				t.Errorf("%s, %s: %v", tool.Name, what, names)
			}
			if where := boolean(t, "", schema.given); where != "" {
				t.Errorf("%s, %s: the schema of %s is true, which not every client reads", tool.Name, what, where)
			}
		}
	}
	for name := range visible {
		t.Errorf("%s is missing", name)
	}
	t.Logf("names, descriptions and input schemas: %d bytes", size)
	if size > maxTools {
		t.Errorf("names, descriptions and input schemas have %d bytes, and may have %d", size, maxTools)
	}
}

// itemsOf returns the members of the elements of a param.
func itemsOf(t *testing.T, schema json.RawMessage, param string) []string {
	t.Helper()
	var s struct {
		Properties map[string]struct{ Items json.RawMessage }
	}
	if err := json.Unmarshal(schema, &s); err != nil {
		t.Fatal(err)
	}
	return properties(t, s.Properties[param].Items)
}

func properties(t *testing.T, schema json.RawMessage) []string {
	t.Helper()
	var s struct{ Properties map[string]json.RawMessage }
	if err := json.Unmarshal(schema, &s); err != nil {
		t.Fatal(err)
	}
	var names []string
	for name := range s.Properties {
		names = append(names, name)
	}
	return names
}

// boolean finds a property whose schema is true or false.
func boolean(t *testing.T, path string, schema json.RawMessage) string {
	t.Helper()
	if schema[0] != '{' {
		return path
	}
	var s struct {
		Properties map[string]json.RawMessage
		Items      json.RawMessage
	}
	if err := json.Unmarshal(schema, &s); err != nil {
		t.Fatal(err)
	}
	if s.Items != nil {
		s.Properties = map[string]json.RawMessage{"items": s.Items}
	}
	for name, p := range s.Properties {
		if where := boolean(t, path+"."+name, p); where != "" {
			return where
		}
	}
	return ""
}

func TestHiddenMethodsCannotBeCalled(t *testing.T) {
	t.Parallel()
	h := handler(t, func(_ context.Context, r api.Request) (json.RawMessage, *api.Error) {
		t.Errorf("%s was run", r.Method)
		return nil, nil
	}, nil, nil)
	list, err := commands.Methods()
	if err != nil {
		t.Fatal(err)
	}
	hidden := 0
	for _, m := range list {
		if !m.Hidden {
			continue
		}
		hidden++
		for _, name := range []string{m.Name, strings.ReplaceAll(m.Name, ".", "_")} {
			if a := ask[called](t, h, "tools/call", fmt.Sprintf(`{"name":%q,"arguments":{}}`, name)); a.Error == nil || a.Error.Code != api.CodeInvalidParams {
				t.Errorf("%s: %+v", name, a)
			}
		}
	}
	if hidden == 0 {
		t.Error("no method is hidden: this tests nothing")
	}
}
