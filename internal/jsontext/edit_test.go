package jsontext

import (
	"encoding/json"
	"strings"
	"testing"
)

func TestEdit(t *testing.T) {
	t.Parallel()
	type m = map[string]any
	set := func(value any, path ...any) func(*Document) error {
		return func(d *Document) error { return d.Set(value, path...) }
	}
	add := func(value any, path ...any) func(*Document) error {
		return func(d *Document) error { return d.Append(value, path...) }
	}
	for name, c := range map[string]struct {
		text string
		edit func(*Document) error
		want string
	}{
		"empty file":       {" \n", set(1, "a"), "{\n  \"a\": 1\n}\n"},
		"empty object":     {"{}", set(1, "a", "b"), "{\n  \"a\": {\n    \"b\": 1\n  }\n}"},
		"add":              {"{\n  \"b\": 1.0,\n  \"a\": [ 1,2 ]\n}\n", set("<x>", "c"), "{\n  \"b\": 1.0,\n  \"a\": [ 1,2 ],\n  \"c\": \"<x>\"\n}\n"},
		"tabs":             {"{\n\t\"a\": {\n\t\t\"b\": 1\n\t}\n}", set(m{"x": 1}, "a", "c"), "{\n\t\"a\": {\n\t\t\"b\": 1,\n\t\t\"c\": {\n\t\t\t\"x\": 1\n\t\t}\n\t}\n}"},
		"four spaces":      {"{\n    \"a\": 1\n}", set(1, "b", "c"), "{\n    \"a\": 1,\n    \"b\": {\n        \"c\": 1\n    }\n}"},
		"CRLF":             {"{\r\n  \"a\": 1\r\n}\r\n", set(m{"x": 1}, "b"), "{\r\n  \"a\": 1,\r\n  \"b\": {\r\n    \"x\": 1\r\n  }\r\n}\r\n"},
		"one line":         {`{"a":1}`, set(m{"x": 1}, "b"), `{"a":1, "b": {"x":1}}`},
		"inner one line":   {"{\n  \"a\": {\"b\": 1}\n}", set(2, "a", "c"), "{\n  \"a\": {\"b\": 1, \"c\": 2}\n}"},
		"replace":          {"{\n  \"a\": {\n    \"b\": [1]\n  }\n}", set(m{"x": 1}, "a", "b"), "{\n  \"a\": {\n    \"b\": {\n      \"x\": 1\n    }\n  }\n}"},
		"equal":            {"{\"a\": { \"y\" :2, \"x\": \"\\u0041\" } }", set(m{"x": "A", "y": 2}, "a"), "{\"a\": { \"y\" :2, \"x\": \"\\u0041\" } }"},
		"append":           {"{\n  \"a\": [\n    1\n  ]\n}", add(2, "a"), "{\n  \"a\": [\n    1,\n    2\n  ]\n}"},
		"append to none":   {"{\n  \"b\": 1\n}", add(2, "a"), "{\n  \"b\": 1,\n  \"a\": [\n    2\n  ]\n}"},
		"append to empty":  {"{\n  \"a\": []\n}", add(2, "a"), "{\n  \"a\": [\n    2\n  ]\n}"},
		"in an array":      {"{\"a\": [{\"b\": 1}, {\"b\": 2}]}", set(3, "a", 1, "b"), "{\"a\": [{\"b\": 1}, {\"b\": 3}]}"},
		"the last counts":  {`{"a":1,"a":2}`, set(3, "a"), `{"a":1,"a":3}`},
		"brackets in text": {"{\n  \"a\": \"}{][,\\\"\",\n  \"b\": {}\n}", set(1, "b", "c"), "{\n  \"a\": \"}{][,\\\"\",\n  \"b\": {\n    \"c\": 1\n  }\n}"},
	} {
		d, err := Parse([]byte(c.text))
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		for range 2 { // again: nothing changes
			if err := c.edit(d); err != nil {
				t.Errorf("%s: %v", name, err)
			}
			if got := string(d.Bytes()); got != c.want {
				t.Errorf("%s:\n%s\nwant\n%s", name, got, c.want)
			}
			if strings.HasPrefix(name, "append") {
				break
			}
		}
	}
	for text, want := range map[string]string{
		"[]": "not a JSON object", "\"{\"": "not a JSON object", "{\n// x\n}": "line 2:", "{": "line 1:", "{}{}": "line 1:", "{\n\"a\": 1,\n}": "line 3:",
	} {
		if _, err := Parse([]byte(text)); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v; want %s", text, err, want)
		}
	}
	for _, edit := range []func(*Document) error{set(1, "a", "b"), set(1, "o", "n", "b"), add(1, "o"), set(1, "l", "b")} {
		d, err := Parse([]byte(`{"a":"x","o":{"n":null},"l":[1]}`))
		if err != nil {
			t.Fatal(err)
		}
		if err := edit(d); err == nil {
			t.Errorf("%s: no error", d.Bytes())
		}
	}
}

// FuzzEdit edits any document: the result is JSON that differs only in what was set.
func FuzzEdit(f *testing.F) {
	for _, seed := range []string{
		`{}`, "{\n\t\"a\": {}\n}", `{"a":{"b":[{}]}}`, "{ \"a\":\r\n{\"b\":1}}", `{"a":"\ud800{"}`, "{\n\"x\":1 ,\"a\":{\n}}", " \n", "{\"a\"\n:{\"c\":1\n,\"b\":[\n]}}",
	} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, text []byte) {
		d, err := Parse(text)
		if err != nil {
			return
		}
		before := map[string]any{}
		if err := json.Unmarshal(d.Bytes(), &before); err != nil {
			t.Fatalf("accepted %q: %v", text, err)
		}
		if d.Set(map[string]any{"x": []int{1}}, "a", "b") != nil {
			if got := string(d.Bytes()); got != string(text) {
				t.Fatalf("refused, and yet %q became %q", text, got)
			}
			return
		}
		once := string(d.Bytes())
		var after map[string]any
		if err := json.Unmarshal([]byte(once), &after); err != nil {
			t.Fatalf("%q became %q: %v", text, once, err)
		}
		if v, ok := d.Get("a", "b", "x", 0); !ok || string(v) != "1" {
			t.Fatalf("%q became %q", text, once)
		}
		for name := range before {
			if _, ok := after[name]; !ok {
				t.Fatalf("%q lost %q: %q", text, name, once)
			}
		}
		if err := d.Set(map[string]any{"x": []int{1}}, "a", "b"); err != nil || string(d.Bytes()) != once {
			t.Fatalf("%q is not stable: %q, %v", once, d.Bytes(), err)
		}
	})
}
