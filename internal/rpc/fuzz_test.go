package rpc

import (
	"bytes"
	"encoding/json"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/claudebench/claudebench/internal/api"
	"github.com/claudebench/claudebench/internal/httpapi"
)

// FuzzParse compares the scanner with encoding/json. Both accept the same bodies as JSON, find the
// same members and compact alike.
func FuzzParse(f *testing.F) {
	for _, seed := range []string{
		`{"jsonrpc":"2.0","method":"task.create","params":{"text":"a","priority":50},"id":1}`,
		" [ {\"jsonrpc\" : \"2.0\" , \"method\":\"a\\u00e9\\\"\" ,\"params\":{ \"x\" : [ 1 , -0.5e+3 ] },\"id\":\"\\ud83d\\ude00\"} ,\n{} , 1 ] ",
		`{"jsonrpc":"2.0","method":"m","metadata":{"correlationId":"c"},"id":null}`,
		`{"\u006dethod":"m","jsonrpc":"2.\u0030","i\u0064":1e400,"params":[]}`,
		`{"jsonrpc":"2.0","method":"m","method":"n","id":"\ud800"}`,
		`[{"method":true},{"id":{}},{"params":"x"},[],null,false,"s",-1.5]`,
		`{"a":"\x"}`, `{"a":01}`, `[1,]`, `{"a" 1}`, "\xef\xbb\xbf{}", "\"\xff\"", `"`, ``, ` `, `nul`, `-`, `1.`, `1e`, "{\"a\x00\":1}",
		strings.Repeat("[", 65), strings.Repeat("[", 64) + strings.Repeat("]", 64),
		`[` + strings.Repeat(`0,`, MaxCalls) + `0]`,
	} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, body []byte) {
		original := bytes.Clone(body)
		calls, batch, refused := parse(body, nil)
		valid := json.Valid(original) && utf8.Valid(original)
		if refused != nil {
			// A limit stops the scan, so the rest of the body may be anything. Other faults are
			// known only at the end.
			why := refused.Data.(string)
			limit := strings.Contains(why, "levels deep") || strings.Contains(why, "at most")
			if parseFault := refused.Code == api.CodeParse; valid && parseFault || !valid && !parseFault && !limit {
				t.Fatalf("valid JSON: %t, but refused: %v", valid, refused)
			}
			return
		}
		if !valid {
			t.Fatalf("%q was taken for JSON", original)
		}
		values := []json.RawMessage{original}
		if batch {
			if err := json.Unmarshal(original, &values); err != nil {
				t.Fatal(err)
			}
		}
		if len(calls) != len(values) {
			t.Fatalf("%d calls of %d values", len(calls), len(values))
		}
		for i, value := range values {
			same(t, &calls[i], value)
		}
	})
}

// same compares a call with the request as encoding/json parses it.
func same(t *testing.T, c *call, value json.RawMessage) {
	t.Helper()
	var members map[string]json.RawMessage
	if err := json.Unmarshal(value, &members); err != nil || members == nil {
		if c.fault == nil {
			t.Fatalf("%s is no object, but was taken for a request", value)
		}
		return
	}
	if c.id != nil && !bytes.Equal(c.id, null) && !bytes.Equal(c.id, compacted(t, members["id"])) {
		t.Fatalf("id %s of %s", c.id, value)
	}
	var version string
	lawful := json.Unmarshal(members["jsonrpc"], &version) == nil && version == "2.0"
	if c.fault != nil {
		return
	}
	var method *string
	if err := json.Unmarshal(members["method"], &method); err != nil || method == nil || !lawful {
		t.Fatalf("%s was taken for a request", value)
	}
	if c.method != *method {
		t.Fatalf("method %q, want %q", c.method, *method)
	}
	if (c.id == nil) != (members["id"] == nil) {
		t.Fatalf("id %s of %s", c.id, value)
	}
	want := json.RawMessage(`{}`)
	if members["params"] != nil {
		want = compacted(t, members["params"])
	}
	if string(want) == "null" || string(want) == "[]" {
		want = json.RawMessage(`{}`)
	}
	if !bytes.Equal(c.params, want) || c.positional != (want[0] == '[') {
		t.Fatalf("params %s (positional %t), want %s", c.params, c.positional, want)
	}
	if len(c.cause) > httpapi.MaxCause {
		t.Fatalf("a cause of %d bytes", len(c.cause))
	}
}

func compacted(t *testing.T, value json.RawMessage) json.RawMessage {
	t.Helper()
	var b bytes.Buffer
	if err := json.Compact(&b, value); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}
