package websocket

import (
	"encoding/json"
	"strings"
	"testing"
)

// The error names the member in the words of the caller, not Go's.
func TestAParamOfTheWrongType(t *testing.T) {
	t.Parallel()
	var p struct{ Types string }
	err := decode(json.RawMessage(`{"types":["task.*"]}`), &p)
	if want := "types must be a string, not a JSON array"; err == nil || !strings.Contains(string(must(t, err)), want) {
		t.Errorf("got %s, want %q in it", must(t, err), want)
	}
}

func must(t *testing.T, v any) []byte {
	t.Helper()
	text, err := json.Marshal(v)
	if err != nil {
		t.Fatal(err)
	}
	return text
}
