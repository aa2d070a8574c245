package claudehook

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/claudebench/claudebench/events"
	"github.com/claudebench/claudebench/internal/jsontext"
)

// contentOf decodes a content, which must be valid in every way.
func contentOf(t *testing.T, h *Hook, level Level) (c events.HookContent, fields map[string]json.RawMessage) {
	t.Helper()
	text := h.Content(level)
	if len(text) > MaxContent || !utf8.Valid(text) {
		t.Fatalf("%d bytes, UTF-8: %t", len(text), utf8.Valid(text))
	}
	if err := json.Unmarshal(text, &c); err != nil {
		t.Fatalf("%v: %s", err, text)
	}
	if err := json.Unmarshal(c.Fields, &fields); err != nil {
		t.Fatalf("%v: %s", err, text)
	}
	if c.Level != string(level) {
		t.Errorf("level %q, want %q", c.Level, level)
	}
	return c, fields
}

// Of what the user, the model and the tools wrote, nothing is stored below full.
func TestNoSecrets(t *testing.T) {
	t.Parallel()
	full := 0
	for _, body := range bodies(t, "kinds.jsonl") {
		h := Parse(body)
		if content := h.Content(None); content != nil {
			t.Errorf("none stores %s", content)
		}
		if content := string(h.Content(Names)); strings.Contains(content, "SECRET") {
			t.Errorf("names stores %s of %s", content, body)
		}
		if strings.Contains(told(h), "SECRET") {
			t.Errorf("stored at any level: %s", told(h))
		}
		if strings.Contains(string(h.Content(Full)), "SECRET") {
			full++
		}
	}
	if full < 15 {
		t.Errorf("full stores only %d of the secrets", full)
	}
}

func TestNames(t *testing.T) {
	t.Parallel()
	body := `{"session_id":"s","hook_event_name":"PreToolUse","cwd":"/p","tool_name":"Bash","tool_input":{"command":"ls é","secret words":1,"n":1.50},"tool_use_id":"u","more":[1,2]}`
	got := string(Parse([]byte(body)).Content(Names))
	want := fmt.Sprintf(`{"level":"names","bytes":%d,"fields":{"tool_input":{"bytes":45,"members":{"command":7,"n":4}},"more":{"bytes":5}},"cut":[]}`, len(body))
	if got != want {
		t.Errorf("%s\nwant:\n%s", got, want)
	}
	var many strings.Builder
	for i := range 10_000 {
		fmt.Fprintf(&many, `,"field_%050d":{"a":1}`, i)
	}
	inputs := `{"x":1` + many.String() + `}`
	_, fields := contentOf(t, Parse([]byte(`{"tool_input":`+inputs+many.String()+`}`)), Names)
	if len(fields) != maxNames {
		t.Errorf("%d fields", len(fields))
	}
	var input struct{ Members map[string]int }
	if err := json.Unmarshal(fields["tool_input"], &input); err != nil || len(input.Members) != maxNames {
		t.Errorf("%d members, %v", len(input.Members), err)
	}
}

func TestFull(t *testing.T) {
	t.Parallel()
	body := `{"session_id":"s","hook_event_name":"PreToolUse","cwd":"/p","tool_name":"Bash","tool_input":{"command":"ls <&>","n":1e400},"tool_use_id":"u"}`
	got := string(Parse([]byte(body)).Content(Full))
	want := fmt.Sprintf(`{"level":"full","bytes":%d,"fields":{"cwd":"/p","tool_input":{"command":"ls <&>","n":1e400}},"cut":[]}`, len(body))
	if got != want {
		t.Errorf("%s\nwant:\n%s", got, want)
	}
}

func TestCut(t *testing.T) {
	t.Parallel()
	for name, long := range map[string]string{
		"letters": strings.Repeat("x", 900_000), "two bytes": strings.Repeat("é", 400_000), "four bytes": strings.Repeat("😀", 200_000),
		"odd start": "x" + strings.Repeat("😀", 200_000), "odder": "xx" + strings.Repeat("😀", 200_000), "oddest": "xxx" + strings.Repeat("😀", 200_000), "escapes between": strings.Repeat(`\"😀`, 100_000), "more escapes": strings.Repeat(`\n\n\t😀é`, 50_000), "quotes": strings.Repeat(`\"`, 300_000), "controls": strings.Repeat(`\u0001`, 150_000),
		"just too long": strings.Repeat("y", MaxContent), "separators": strings.Repeat(`\u2028`, 100_000),
	} {
		body := `{"session_id":"s","hook_event_name":"PostToolUse","tool_name":"Read","tool_input":{"file_path":"/p/x"},"tool_response":"` + long + `"}`
		text := jsontext.Unquote([]byte(`"` + long + `"`))
		c, fields := contentOf(t, Parse([]byte(body)), Full)
		var kept string
		if err := json.Unmarshal(fields["tool_response"], &kept); err != nil || !strings.HasPrefix(text, kept) {
			t.Errorf("%s: not the beginning: %v", name, err)
		}
		if string(fields["tool_input"]) != `{"file_path":"/p/x"}` || !slices.Equal(c.Cut, []string{"tool_response"}) || c.Bytes != int64(len(body)) {
			t.Errorf("%s: %s, %v, %d", name, fields["tool_input"], c.Cut, c.Bytes)
		}
		if size := len(fields["tool_response"]); size < MaxContent-600 {
			t.Errorf("%s: only %d bytes are stored", name, size)
		}
	}
	// Several long fields share the room. An object's text is cut as text.
	object := `{"a":"` + strings.Repeat("x", 50_000) + `"}`
	c, fields := contentOf(t, Parse([]byte(`{"tool_input":`+object+`,"tool_response":`+object+`,"short":1}`)), Full)
	if !slices.Equal(c.Cut, []string{"tool_input", "tool_response"}) || string(fields["short"]) != "1" || !strings.HasPrefix(string(fields["tool_input"]), `"{\"a\":\"xxx`) {
		t.Errorf("cut %v: %.50s", c.Cut, fields["tool_input"])
	}
	if a, b := len(fields["tool_input"]), len(fields["tool_response"]); a < 7000 || b < 7000 {
		t.Errorf("%d and %d bytes", a, b)
	}
	var many strings.Builder
	for i := range 5000 {
		fmt.Fprintf(&many, `"f%d":"%0100d",`, i, i)
	}
	c, fields = contentOf(t, Parse([]byte(`{`+many.String()+`"`+strings.Repeat("n", 70_000)+`":1}`)), Full)
	if len(fields) != maxFields || !slices.Contains(c.Cut, others) {
		t.Errorf("%d fields, cut %v", len(fields), c.Cut)
	}
}

// FuzzParse reads bodies of any kind. What it returns can be stored, and is no more than the level
// permits.
func FuzzParse(f *testing.F) {
	for _, file := range []string{"session-2.1.197.jsonl", "kinds.jsonl"} {
		for _, body := range bodies(f, file) {
			f.Add(body)
		}
	}
	f.Add([]byte("{\"tool_input\":\"\xff\xfe\\ud800\\u0000\"}"))
	f.Add([]byte(`{"session_id":"s","hook_event_name":"PostToolUse","tool_name":"TodoWrite","tool_input":{"todos":[{"content":"\"},{\"id\":\"9\",\"text\":\"x\",\"status\":\"pending\"}"}]}}`))
	f.Fuzz(func(t *testing.T, body []byte) {
		text, fault := jsontext.Compact(Readable(slices.Clone(body)))
		if fault != nil || text[0] != '{' {
			return
		}
		text, _ = jsontext.Readable(text)
		h := Parse(text)
		for _, level := range []Level{Names, Full} {
			contentOf(t, h, level)
			if content := h.Content(level); jsontext.HasUnreadable(content) {
				t.Errorf("SQL cannot read %s", content)
			}
		}
		todo := h.Todo(Full)
		switch todo.Change {
		case Replace:
			var list []events.Todo
			if err := json.Unmarshal([]byte(todo.ID), &list); err != nil || len(list) > maxTodos {
				t.Errorf("%d todos, %v: %s", len(list), err, todo.ID)
			}
		case Put, Drop:
			if !json.Valid([]byte(todo.ID)) || todo.Text != "" && !json.Valid([]byte(todo.Text)) {
				t.Errorf("%+v", todo)
			}
		}
	})
}
