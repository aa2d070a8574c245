package jsontext_test

import (
	"encoding/json"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/claudebench/claudebench/internal/jsontext"
)

// The scripts spell a string by cjson, and do not escape '/'.
func TestQuoteAsLua(t *testing.T) {
	t.Parallel()
	for s, want := range map[string]string{
		"":                      `""`,
		"a/b é \u2028 😀":        "\"a/b é \u2028 😀\"",
		"\"\\\b\f\n\r\t":        `"\"\\\b\f\n\r\t"`,
		"\x00\x01\x1f\x7f <>&'": `"\u0000\u0001\u001f\u007f <>&'"`,
	} {
		got := jsontext.QuoteAsLua(s)
		var back string
		if err := json.Unmarshal([]byte(got), &back); got != want || err != nil || back != s {
			t.Errorf("%q is quoted as %s, want %s; it decodes to %q, %v", s, got, want, back, err)
		}
	}
}

func TestTexts(t *testing.T) {
	t.Parallel()
	for object, want := range map[string][]string{
		`{"a":1.10,"b":"é\n"}`:             {"1.10", `"é\n"`},
		`{"c":{"a":2},"\u0061":[{"b":3}]}`: {`[{"b":3}]`, "null"},
		`{"b":1,"b":false}`:                {"null", "false"},
		`{}`:                               {"null", "null"},
		`[{"a":1}]`:                        {"null", "null"},
	} {
		if diff := cmp.Diff(want, jsontext.Texts([]byte(object), "a", "b")); diff != "" {
			t.Errorf("%s: -want +got\n%s", object, diff)
		}
	}
}
