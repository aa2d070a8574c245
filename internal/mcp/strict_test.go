package mcp_test

import (
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"net/http"
	"slices"
	"strings"
	"testing"

	"github.com/claudebench/claudebench/internal/api"
)

// faults returns what a strict client rejects in a schema, with the path of each place.
func faults(path string, schema any) []string {
	s, ok := schema.(map[string]any)
	if !ok {
		return []string{fmt.Sprintf("%s is the schema %v", path, schema)}
	}
	kind, ok := s["type"].(string)
	if !ok {
		return []string{fmt.Sprintf("%s has the type %v", path, s["type"])}
	}
	var found []string
	for _, word := range []string{"$ref", "$defs", "anyOf", "oneOf", "allOf", "not", "const", "prefixItems"} {
		if s[word] != nil {
			found = append(found, path+" has "+word)
		}
	}
	properties, hasProperties := s["properties"].(map[string]any)
	items, hasItems := s["items"]
	if hasProperties != (kind == "object") || hasItems != (kind == "array") {
		found = append(found, path+" is "+kind+", and its properties or items do not fit")
	}
	if more := s["additionalProperties"]; more != nil && more != false {
		found = append(found, path+" has additionalProperties")
	}
	for _, name := range slices.Sorted(maps.Keys(properties)) {
		found = append(found, faults(path+"."+name, properties[name])...)
	}
	if hasItems {
		found = append(found, faults(path+"[]", items)...)
	}
	return found
}

func TestStrictClientsAcceptEveryInputSchema(t *testing.T) {
	t.Parallel()
	tools := ask[listing](t, handler(t, nil, nil, nil), "tools/list", "{}").Result.Tools
	if len(tools) == 0 {
		t.Error("no tools: this tests nothing")
	}
	for _, tool := range tools {
		var schema any
		if err := json.Unmarshal(tool.InputSchema, &schema); err != nil {
			t.Fatal(err)
		}
		for _, fault := range faults(tool.Name, schema) {
			t.Error(fault)
		}
	}
}

func TestTheStrictTestFindsWhatClientsReject(t *testing.T) {
	t.Parallel()
	object := func(p string) string { return `{"type":"object","properties":{"p":` + p + `}}` }
	for _, bad := range []string{
		`true`, `{}`, `{"type":"object"}`, object(`true`), object(`false`), object(`{}`), object(`{"description":"any JSON"}`),
		object(`{"type":["null","object"],"properties":{}}`), object(`{"type":"array"}`), object(`{"type":"array","items":true}`),
		object(`{"type":"array","items":{"type":["string","null"]}}`), object(object(`{"type":"array","items":{}}`)),
		object(`{"type":"string","anyOf":[{"type":"string"}]}`), object(`{"type":"object","properties":{},"additionalProperties":{}}`),
	} {
		var schema any
		if err := json.Unmarshal([]byte(bad), &schema); err != nil {
			t.Fatal(err)
		}
		if len(faults("", schema)) == 0 {
			t.Errorf("%s passes", bad)
		}
	}
}

// A param of any type says how it is given.
func TestFreeParamsAreDescribed(t *testing.T) {
	t.Parallel()
	free := map[string]string{"system_quorum_vote": "value", "task_complete": "result"}
	for _, tool := range ask[listing](t, handler(t, nil, nil, nil), "tools/list", "{}").Result.Tools {
		var s struct {
			Properties map[string]struct{ Type, Description string }
		}
		if err := json.Unmarshal(tool.InputSchema, &s); err != nil {
			t.Fatal(err)
		}
		if p := s.Properties[free[tool.Name]]; free[tool.Name] != "" && (p.Type != "string" || !strings.Contains(p.Description, "JSON text")) {
			t.Errorf("%s: %+v", tool.Name, p)
		}
	}
}

// recording returns a handler whose calls leave their params in got.
func recording(t *testing.T, got *string) http.Handler {
	t.Helper()
	return handler(t, func(_ context.Context, r api.Request) (json.RawMessage, *api.Error) {
		*got = string(r.Params)
		return json.RawMessage(`{}`), nil
	}, nil, nil)
}

func TestArgumentsOfStrictClients(t *testing.T) {
	t.Parallel()
	var got string
	h := recording(t, &got)
	for name, tc := range map[string]struct{ tool, sent, want string }{
		"null for an optional param": {"task_create", `{"text":"x","priority":null,"metadata":null}`, `{"text":"x"}`},
		"null for all":               {"task_list", `{"status":null,"limit":null}`, `{}`},
		"null in a nested object":    {"task_update", `{"id":"t-1","updates":{"text":null,"priority":1}}`, `{"id":"t-1","updates":{"priority":1}}`},
		"null in an array":           {"task_create_many", `{"tasks":[{"text":"x"},{"text":"y","priority":null}]}`, `{"tasks":[{"text":"x"},{"text":"y"}]}`},
		"null for a required param":  {"task_create", `{"text":null}`, `{"text":null}`},
		"null for an unknown param":  {"task_create", `{"text":"x","other":null}`, `{"text":"x","other":null}`},
		"null in metadata":           {"task_create", `{"text":"x","metadata":{"roles":null,"a":null}}`, `{"text":"x","metadata":{"roles":null,"a":null}}`},
		"null and a value":           {"task_create", `{"text":"x","priority":null,"priority":1}`, `{"text":"x","priority":null,"priority":1}`},

		"an object as text":          {"task_create", `{"text":"x","metadata":"{ \"a\": 1e1, \"b\":\"<é>\" }"}`, `{"text":"x","metadata":{"a":1e1,"b":"<é>"}}`},
		"an array as text":           {"system_register", `{"id":"w","roles":"[\"worker\"]"}`, `{"id":"w","roles":["worker"]}`},
		"an array in an object":      {"task_create", `{"text":"x","metadata":{"\u00e9":1,"roles":"[\"a\"]"}}`, `{"text":"x","metadata":{"é":1,"roles":["a"]}}`},
		"text in text":               {"task_update", `{"id":"t-1","updates":"{\"text\":null,\"metadata\":\"{\\\"a\\\":1}\"}"}`, `{"id":"t-1","updates":{"metadata":{"a":1}}}`},
		"elements as text":           {"task_create_many", `{"tasks":[{"text":"x"},"{\"text\":\"y\"}",{"text":"z"}]}`, `{"tasks":[{"text":"x"},{"text":"y"},{"text":"z"}]}`},
		"an array for an object":     {"task_create", `{"text":"x","metadata":"[1]"}`, `{"text":"x","metadata":"[1]"}`},
		"no JSON for an object":      {"task_create", `{"text":"x","metadata":"{a"}`, `{"text":"x","metadata":"{a"}`},
		"nothing for an object":      {"task_create", `{"text":"x","metadata":""}`, `{"text":"x","metadata":""}`},
		"JSON for a string":          {"task_create", `{"text":"{\"a\":1}"}`, `{"text":"{\"a\":1}"}`},
		"a number as text":           {"task_create", `{"text":"x","priority":"1"}`, `{"text":"x","priority":"1"}`},
		"a free member":              {"task_create", `{"text":"x","metadata":{"a":"[1]","roles":[]}}`, `{"text":"x","metadata":{"a":"[1]","roles":[]}}`},
		"half a surrogate":           {"task_create", `{"text":"x","metadata":"{\"a\":\"\ud800\"}"}`, `{"text":"x","metadata":"{\"a\":\"\ud800\"}"}`},
		"a vote as plain text":       {"system_quorum_vote", `{"value":"yes, do"}`, `{"value":"yes, do"}`},
		"a vote as an object's text": {"system_quorum_vote", `{"value":"{\"b\": 1, \"a\": null}"}`, `{"value":{"b":1,"a":null}}`},
		"a vote as a number's text":  {"system_quorum_vote", `{"value":" 12345678901234567890 "}`, `{"value":12345678901234567890}`},
		"a vote as a boolean's text": {"system_quorum_vote", `{"value":"true"}`, `{"value":true}`},
		"a vote as a string's text":  {"system_quorum_vote", `{"value":"\"true\""}`, `{"value":"true"}`},
		"a vote of no text":          {"system_quorum_vote", `{"value":""}`, `{"value":""}`},
		"a vote as JSON":             {"system_quorum_vote", `{"value":{"a":"[1]"}}`, `{"value":{"a":"[1]"}}`},
		"a vote that is null":        {"system_quorum_vote", `{"value":null}`, `{"value":null}`},
		"a result and no error":      {"task_complete", `{"result":"[1,\"2\"]","error":null}`, `{"result":[1,"2"]}`},
		"an error that is null":      {"task_complete", `{"result":"done","error":"null"}`, `{"result":"done","error":null}`},
		"items as text":              {"system_batch_process", `{"items":["{\"text\":\"x\"}","plain",3,null]}`, `{"items":[{"text":"x"},"plain",3,null]}`},
		"no object":                  {"task_create", `[null]`, `[null]`},
	} {
		got = "nothing"
		if a := ask[called](t, h, "tools/call", fmt.Sprintf(`{"name":%q,"arguments":%s}`, tc.tool, tc.sent)); a.Error != nil || a.Result.IsError || got != tc.want {
			t.Errorf("%s: %s became %s, want %s (%+v)", name, tc.sent, got, tc.want, a)
		}
	}
}

// Text cannot smuggle in values that are deeper than a body may be.
func TestTheDepthOfArgumentsInText(t *testing.T) {
	t.Parallel()
	var got string
	h := recording(t, &got)
	nested := func(n int) string { return strings.Repeat("[", n) + strings.Repeat("]", n) }
	vote := func(n int) answer[called] {
		got = ""
		return ask[called](t, h, "tools/call", `{"name":"system_quorum_vote","arguments":{"value":"`+nested(n)+`"}}`)
	}
	if a := vote(63); a.Result.IsError || got != `{"value":`+nested(63)+`}` {
		t.Errorf("as deep as may be: %+v, %s", a, got)
	}
	for _, n := range []int{64, 65, 1000} {
		a := vote(n)
		if !a.Result.IsError || got != "" || !strings.Contains(a.Result.Content[0].Text, "levels deep") || !strings.Contains(a.Result.Content[0].Text, "correct the argument") {
			t.Errorf("%d levels: %+v, %s", n, a, got)
		}
	}
}
