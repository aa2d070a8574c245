package openrpc_test

import (
	"context"
	"encoding/json"
	"fmt"
	"net/url"
	"os"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/jsonschema-go/jsonschema"
	"go.uber.org/goleak"

	"github.com/claudebench/claudebench/commands"
	"github.com/claudebench/claudebench/internal/api"
	"github.com/claudebench/claudebench/internal/command"
	"github.com/claudebench/claudebench/internal/openrpc"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func methods(t *testing.T) []*command.Method {
	t.Helper()
	list, err := commands.Methods()
	if err != nil {
		t.Fatal(err)
	}
	return list
}

func document(t *testing.T) json.RawMessage {
	t.Helper()
	text, err := openrpc.Document(methods(t), "v1.2.3")
	if err != nil {
		t.Fatal(err)
	}
	return text
}

// metaSchema returns OpenRPC's own schema. Its $schema is a copy of draft-07 at another address,
// which the validator does not know.
func metaSchema(t *testing.T) *jsonschema.Resolved {
	t.Helper()
	load := func(name string) *jsonschema.Schema {
		text, err := os.ReadFile("testdata/" + name)
		if err != nil {
			t.Fatal(err)
		}
		schema := new(jsonschema.Schema)
		if err := json.Unmarshal(text, schema); err != nil {
			t.Fatal(err)
		}
		schema.Schema = "http://json-schema.org/draft-07/schema#"
		return schema
	}
	resolved, err := load("open-rpc-meta-schema.json").Resolve(&jsonschema.ResolveOptions{
		Loader: func(uri *url.URL) (*jsonschema.Schema, error) {
			if uri.Host != "meta.json-schema.tools" {
				return nil, fmt.Errorf("the schema refers to %s", uri)
			}
			return load("json-schema-meta-schema.json"), nil
		},
	})
	if err != nil {
		t.Fatal(err)
	}
	return resolved
}

func decode(t *testing.T, text []byte) map[string]any {
	t.Helper()
	var v map[string]any
	if err := json.Unmarshal(text, &v); err != nil {
		t.Fatal(err)
	}
	return v
}

func TestTheDocumentIsOpenRPC(t *testing.T) {
	t.Parallel()
	schema := metaSchema(t)
	text := document(t)
	if err := schema.Validate(decode(t, text)); err != nil {
		t.Errorf("%v\n%s", err, text)
	}
	// The schema rejects what the specification forbids, so the test above can fail.
	for name, spoil := range map[string]func(doc, method map[string]any){
		"another version": func(doc, _ map[string]any) { doc["openrpc"] = "9.9.9" },
		"no info":         func(doc, _ map[string]any) { delete(doc, "info") },
		"a strange member": func(_, method map[string]any) {
			method["rateLimit"] = 1
		},
		"no params": func(_, method map[string]any) { delete(method, "params") },
		"a param without a schema": func(_, method map[string]any) {
			delete(method["params"].([]any)[0].(map[string]any), "schema")
		},
		"a schema that is none": func(_, method map[string]any) {
			method["params"].([]any)[0].(map[string]any)["schema"] = map[string]any{"type": "text"}
		},
	} {
		doc := decode(t, text)
		spoil(doc, doc["methods"].([]any)[0].(map[string]any))
		if schema.Validate(doc) == nil {
			t.Errorf("with %s the document is still valid", name)
		}
	}
}

// The document contains every method with its params, required ones first, and rpc.discover itself.
func TestTheDocumentNamesEveryMethod(t *testing.T) {
	t.Parallel()
	var doc struct {
		Info    struct{ Version string }
		Methods []struct {
			Name, ParamStructure string
			Params               []struct {
				Name     string
				Required bool
				Schema   json.RawMessage
			}
			Result    struct{ Schema json.RawMessage }
			RateLimit *int `json:"x-rateLimit"`
			Roles     []string
		}
	}
	if err := json.Unmarshal(document(t), &doc); err != nil {
		t.Fatal(err)
	}
	if doc.Info.Version != "v1.2.3" {
		t.Errorf("version %q", doc.Info.Version)
	}
	list := methods(t)
	if n := len(doc.Methods); n != len(list)+1 || doc.Methods[n-1].Name != "rpc.discover" || len(doc.Methods[n-1].Params) != 0 {
		t.Fatalf("%d methods, the last %+v", n, doc.Methods[n-1])
	}
	for i, m := range list {
		got := doc.Methods[i]
		var names, required []string
		for _, p := range got.Params {
			names = append(names, p.Name)
			if p.Required {
				required = append(required, p.Name)
			}
			want, err := json.Marshal(m.Params.Properties[p.Name])
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(string(want), string(p.Schema)); diff != "" {
				t.Errorf("%s, %s (-list +document):\n%s", m.Name, p.Name, diff)
			}
		}
		if got.Name != m.Name || got.ParamStructure != "by-name" || len(got.Result.Schema) < 3 || got.RateLimit == nil || *got.RateLimit != m.Limit {
			t.Errorf("%s: %+v", m.Name, got)
		}
		if !slices.Equal(names[:len(required)], required) {
			t.Errorf("%s: not the required %v first: %v", m.Name, required, names)
		}
		slices.Sort(names)
		slices.Sort(required)
		wantRequired := slices.Sorted(slices.Values(m.Params.Required))
		if len(names) != len(m.Params.Properties) || !slices.Equal(required, wantRequired) {
			t.Errorf("%s: params %v, of which required %v", m.Name, names, required)
		}
	}
}

// Clients may pass params by position, so the required ones must come first.
func TestRequiredParamsComeFirst(t *testing.T) {
	t.Parallel()
	text, err := openrpc.Document([]*command.Method{{
		Name: "a.b", Result: &jsonschema.Schema{Type: "object"},
		Params: &jsonschema.Schema{
			Type: "object", PropertyOrder: []string{"a", "b", "c", "d"}, Required: []string{"d", "b"},
			Properties: map[string]*jsonschema.Schema{"a": {Type: "string"}, "b": {Type: "string"}, "c": {Type: "string"}, "d": {Type: "string"}},
		},
	}}, "v1")
	if err != nil {
		t.Fatal(err)
	}
	var doc struct {
		Methods []struct{ Params []struct{ Name string } }
	}
	if err := json.Unmarshal(text, &doc); err != nil {
		t.Fatal(err)
	}
	order := ""
	for _, p := range doc.Methods[0].Params {
		order += p.Name
	}
	if order != "bdac" {
		t.Errorf("the order is %s", order)
	}
}

type next struct{ called []string }

func (n *next) Call(_ context.Context, r api.Request) (json.RawMessage, *api.Error) {
	n.called = append(n.called, r.Method)
	return json.RawMessage(`"next"`), nil
}

// rpc.discover calls nothing else, so it works while Redis is unavailable.
func TestDiscover(t *testing.T) {
	t.Parallel()
	n := new(next)
	d := openrpc.NewDispatcher(n, json.RawMessage(`"document"`))
	for method, want := range map[string]string{"rpc.discover": `"document"`, "task.get": `"next"`} {
		for _, params := range []string{"", "{}"} {
			if got, err := d.Call(t.Context(), api.Request{Method: method, Params: json.RawMessage(params)}); err != nil || string(got) != want {
				t.Errorf("%s: %s, %v", method, got, err)
			}
		}
	}
	_, refused := d.Call(t.Context(), api.Request{Method: "rpc.discover", Params: json.RawMessage(`{"a":1}`)})
	if refused == nil || refused.Code != api.CodeInvalidParams || !strings.Contains(refused.Error(), "no params") {
		t.Errorf("with params: %v", refused)
	}
	if len(n.called) != 2 {
		t.Errorf("called on: %v", n.called)
	}
}

// Generators work offline: the document refers to nothing on the network, and contains everything
// that it refers to.
func TestTheDocumentRefersOnlyToItself(t *testing.T) {
	t.Parallel()
	doc := decode(t, document(t))
	references := 0
	var look func(v any)
	look = func(v any) {
		switch v := v.(type) {
		case []any:
			for _, each := range v {
				look(each)
			}
		case map[string]any:
			for name, each := range v {
				if text, ok := each.(string); ok && (name == "$ref" || name == "$schema" || name == "$id" || name == "$dynamicRef") {
					references++
					if !found(doc, text) {
						t.Errorf("%s %s is not in the document", name, text)
					}
				}
				look(each)
			}
		}
	}
	look(doc)
	if references == 0 {
		t.Error("no reference was looked at")
	}
}

// found reports whether a document contains the target of a reference such as
// #/components/errors/NotFound.
func found(doc any, reference string) bool {
	path, ok := strings.CutPrefix(reference, "#/")
	for _, name := range strings.Split(path, "/") {
		object, is := doc.(map[string]any)
		if !ok || !is {
			return false
		}
		doc, ok = object[name]
	}
	return ok
}
