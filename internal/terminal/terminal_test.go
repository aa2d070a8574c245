package terminal

import (
	"bytes"
	"encoding/json"
	"testing"
)

func TestEscape(t *testing.T) {
	t.Parallel()
	for given, want := range map[string]string{
		"plain é 😀\n\t":   "plain é 😀\n\t",
		"\x1b[31mred":     `\u001b[31mred`,
		"csi \u009b2J":    `csi \u009b2J`,
		"a\u202eb\u2066c": `a\u202eb\u2066c`,
		"\u200f\u061c":    `\u200f\u061c`,
		"\u2028\x7f\r":    `\u2028\u007f\u000d`,
	} {
		if got := Escape(given); got != want {
			t.Errorf("%q is %q, want %q", given, got, want)
		}
	}
}

// Escaping does not change the meaning of JSON text.
func TestEscapeKeepsJSON(t *testing.T) {
	t.Parallel()
	const text = "csi \u009b and \u202e"
	encoded := []byte(`"` + text + `"`)
	var got string
	if err := json.Unmarshal([]byte(Escape(string(encoded))), &got); err != nil || got != text {
		t.Errorf("%q, %v", got, err)
	}
	if Is(new(bytes.Buffer)) {
		t.Error("a buffer is a terminal")
	}
}

// A character that arrives in two writes is escaped, or shown, as one.
func TestWriterKeepsCharactersWhole(t *testing.T) {
	t.Parallel()
	const text = "é \u202e 😀 \u009b"
	for cut := range len(text) {
		var out bytes.Buffer
		e := &escaper{w: &out}
		for _, part := range []string{text[:cut], text[cut:]} {
			if n, err := e.Write([]byte(part)); n != len(part) || err != nil {
				t.Fatal(n, err)
			}
		}
		if want := `é \u202e 😀 \u009b`; out.String() != want {
			t.Errorf("cut at %d: %q", cut, out.String())
		}
	}
}
