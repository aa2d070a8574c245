package claudehook

import "testing"

func TestHead(t *testing.T) {
	t.Parallel()
	for beginning, want := range map[string]string{
		``:                        "",
		`[{}]`:                    "",
		`"a"`:                     "",
		`{`:                       `{}`,
		`{}`:                      `{}`,
		`{"hook_event_name":"Pre`: `{}`,
		` { "session_id" : "s" , "cwd" : "/" , "hook_event_name" : "PreToolUse", "tool_name":"Bash","tool_input":{"command":"rm `: `{"session_id":"s","hook_event_name":"PreToolUse","tool_name":"Bash"}`,
		`{"tool_input":{"tool_name":"Read","a":[{"tool_name":"Edit"}]},"tool_name":"Bash","tool_use_id":7}`:                       `{"tool_name":"Bash"}`,
		`{"tool_input":[[[[[`: `{}`,
		`{"hook_event_name":"Stop"` + "\xff" + `,"tool_name":"Bash"}`: `{"hook_event_name":"Stop"}`,
		`{"tool_name":"a","tool_name":"<b>\u0000"}`:                   `{"tool_name":"a","tool_name":"<b>\u0000"}`,
	} {
		if got := string(Head([]byte(beginning))); got != want {
			t.Errorf("%s: %s, want %s", beginning, got, want)
		}
	}
}
