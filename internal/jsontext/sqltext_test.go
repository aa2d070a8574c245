package jsontext_test

import (
	"encoding/json"
	"testing"

	"github.com/claudebench/claudebench/internal/jsontext"
)

func TestReadable(t *testing.T) {
	t.Parallel()
	for _, test := range []struct{ text, want string }{
		{`{"a":[1,"é\n\"\\",null]}`, ""},
		{`"\\u0000"`, ""},
		{`"\\\u0000"`, `"\\\ufffd"`},
		{`"a\u0000b\u0000"`, `"a\ufffdb\ufffd"`},
		{`{"\u0000":{"k\u0000":1}}`, `{"\ufffd":{"k\ufffd":1}}`},
		{`"\ud83d\ude00 \u00e9 \uffff"`, ""},
		{`"\uD83D\uDE00"`, ""},
		{`"\ud800"`, `"\ufffd"`},
		{`"\udc00\ud800"`, `"\ufffd\ufffd"`},
		{`"\ud800\ud83d\ude00"`, `"\ufffd\ud83d\ude00"`},
		{`"\ud800\n\udc00"`, `"\ufffd\n\ufffd"`},
		{`"\ud800x"`, `"\ufffdx"`},
		{`"\udbff\\udc00"`, `"\ufffd\\udc00"`},
	} {
		want := test.want
		if want == "" {
			want = test.text
		}
		got, replaced := jsontext.Readable([]byte(test.text))
		if string(got) != want || replaced != (test.want != "") || jsontext.HasUnreadable([]byte(test.text)) != replaced {
			t.Errorf("%s: %s, %t; want %s", test.text, got, replaced, want)
		}
		if jsontext.HasUnreadable(got) {
			t.Errorf("%s: %s is not readable either", test.text, got)
		}
	}
}

// FuzzReadable checks the result of Readable: valid JSON of the same length, without unreadable
// escapes. Readable reports a replacement exactly if HasUnreadable finds such an escape.
func FuzzReadable(f *testing.F) {
	for _, seed := range []string{`"\ud800"`, `"\\u0000"`, `"\ud83d\ude00"`, `{"a":"\udc00\u0000"}`, `"\ud800\u0000"`} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, text []byte) {
		if !json.Valid(text) {
			return
		}
		readable, replaced := jsontext.Readable(text)
		var before, after any
		if json.Unmarshal(text, &before) != nil { // a number that Go cannot represent
			return
		}
		if err := json.Unmarshal(readable, &after); err != nil || len(readable) != len(text) {
			t.Fatalf("%q became %q: %v", text, readable, err)
		}
		if jsontext.HasUnreadable(readable) || jsontext.HasUnreadable(text) != replaced {
			t.Errorf("%q became %q, replaced %t", text, readable, replaced)
		}
	})
}
