package mcp_test

import (
	"encoding/json"
	"net/http"
	"strings"
	"testing"
)

// An id comes back unchanged, or the request is rejected with the unchanged id.
func TestIDsComeBackOrAreRefused(t *testing.T) {
	t.Parallel()
	h := handler(t, nil, nil, nil)
	for id, status := range map[string]int{
		`1`: 200, `0`: 200, `-7`: 200, `9007199254740991`: 200, `-9007199254740991`: 200, `"a"`: 200, `"\u0041\"<é\ud83d\ude00"`: 200, `""`: 200,
		`1764111234567890123`: 400, `9007199254740992`: 400, `9007199254740993`: 400, `-9007199254740993`: 400, `1.5`: 400, `1.0`: 400, `1e3`: 400,
		`-0`: 400, `1e999`: 400, `123456789012345678901234567890`: 400, `"\ud800"`: 400,
	} {
		w := post(h, `{"jsonrpc":"2.0","id":`+id+`,"method":"ping"}`)
		var a struct {
			ID    json.RawMessage
			Error *struct {
				Code int
				Data string
			}
		}
		if err := json.Unmarshal(w.Body.Bytes(), &a); err != nil || w.Code != status || !same(string(a.ID), id) {
			t.Errorf("id %s: %d %s", id, w.Code, w.Body)
		}
		if refused := a.Error != nil && a.Error.Code == -32600 && strings.HasPrefix(a.Error.Data, "id must be a string"); refused != (status == 400) {
			t.Errorf("id %s: %s", id, w.Body)
		}
	}
	batch := func(id string) string {
		return `[{"jsonrpc":"2.0","id":1,"method":"ping"},{"jsonrpc":"2.0","id":` + id + `,"method":"ping"}]`
	}
	if w := post(h, batch("2"), "Mcp-Protocol-Version", "2025-03-26"); w.Code != http.StatusOK {
		t.Errorf("an array: %d %s", w.Code, w.Body)
	}
	if w := post(h, batch("2.5"), "Mcp-Protocol-Version", "2025-03-26"); w.Code != http.StatusBadRequest || !strings.Contains(w.Body.String(), `"id":null`) {
		t.Errorf("an array with an id that would not come back: %d %s", w.Code, w.Body)
	}
}

// same compares two ids: numbers as they are written, strings by their decoded text.
func same(a, b string) bool {
	if a == b {
		return true
	}
	var s, u string
	return json.Unmarshal([]byte(a), &s) == nil && json.Unmarshal([]byte(b), &u) == nil && s == u
}
