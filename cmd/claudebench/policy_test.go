package main

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/claudebench/claudebench/internal/testenv"
)

const testedPolicy = `rules:
- {tool: Bash, field: command, match: '\brm\s+-rf\b', decision: deny, reason: "move it to the trash"}
- {tool: Read, decision: allow}
`

// testWithInput runs `policy test` on a policy's text.
func testWithInput(t *testing.T, policy, input string) result {
	t.Helper()
	file := filepath.Join(t.TempDir(), "policy.yaml")
	if err := os.WriteFile(file, []byte(policy), 0o600); err != nil {
		t.Fatal(err)
	}
	cmd := command(t, nil, "policy", "test", file)
	cmd.Stdin = strings.NewReader(input)
	return finish(t, cmd)
}

func TestPolicyTest(t *testing.T) {
	t.Parallel()
	hook := func(tool, input string) string {
		return fmt.Sprintf(`{"session_id":"s","hook_event_name":"PreToolUse","tool_name":%q,"tool_input":%s,"tool_use_id":"toolu_1"}`, tool, input)
	}
	const deny = `{"hookSpecificOutput":{"hookEventName":"PreToolUse","permissionDecision":"deny","permissionDecisionReason":"move it to the trash"}}` + "\n"
	for name, c := range map[string]struct{ input, out, log string }{
		"deny":       {hook("Bash", `{"command":"rm -rf /"}`), deny, "Bash: deny by rule 1: move it to the trash\n"},
		"no opinion": {hook("Bash", `{"command":"ls"}`), "{}\n", "Bash: no opinion; no rule matches\n"},
		"allow": {
			hook("Read", `{}`), `{"hookSpecificOutput":{"hookEventName":"PreToolUse","permissionDecision":"allow"}}` + "\n", "Read: allow by rule 2\n",
		},
		"permission": {
			strings.Replace(hook("Bash", `{"command":"rm -rf /"}`), "PreToolUse", "PermissionRequest", 1),
			`{"hookSpecificOutput":{"hookEventName":"PermissionRequest","decision":{"behavior":"deny","message":"move it to the trash"}}}` + "\n",
			"Bash: deny by rule 1: move it to the trash\n",
		},
		"several": {
			hook("Bash", `{"command":"ls"}`) + "\n" + `{"hook_event_name":"Stop"}` + "\n" + hook("Bash", `{"command":"rm -rf /"}`) + "\n", "{}\n{}\n" + deny,
			"Bash: no opinion; no rule matches\nStop: no opinion; a policy decides only about PreToolUse and PermissionRequest\nBash: deny by rule 1: move it to the trash\n",
		},
		"on several lines":  {strings.ReplaceAll(hook("Bash", `{"command":"rm -rf /"}`), ",", ",\n  "), deny, "Bash: deny by rule 1: move it to the trash\n"},
		"control character": {hook("x\\u001b[2J", `{}`), "{}\n", "a tool whose name is not valid: no opinion; no rule matches\n"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			input := strings.ReplaceAll(c.input, `\\u`, `\u`)
			if r := testWithInput(t, testedPolicy, input); r.code != 0 || r.out != c.out || r.log != c.log {
				t.Errorf("%s: code %d\n%s%s\nwant\n%s%s", input, r.code, r.out, r.log, c.out, c.log)
			}
		})
	}
	for name, c := range map[string]struct{ policy, input, want string }{
		"no body":      {testedPolicy, "", "standard input is empty"},
		"no JSON":      {testedPolicy, "rm -rf /", "body 1 is not a hook"},
		"no hook":      {testedPolicy, `{"command":"rm -rf /"}`, "hook_event_name is missing"},
		"no tool":      {testedPolicy, `{"hook_event_name":"PreToolUse"}`, "tool_name is missing"},
		"an array":     {testedPolicy, `[]`, "body 1 is not a hook"},
		"bad second":   {testedPolicy, hook("Read", `{}`) + "{", "body 2 is not a hook"},
		"bad policy":   {"rules:\n- {tool: Bash, decision: maybe}\n", hook("Read", `{}`), `policy.yaml:2: rule 1: unknown decision "maybe"`},
		"empty policy": {"", hook("Read", `{}`), "it must be a map with the member rules"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			if r := testWithInput(t, c.policy, c.input); r.code != exitUsage || !strings.Contains(r.log, c.want) {
				t.Errorf("code %d, %q; want %s", r.code, r.log, c.want)
			}
		})
	}
	if r := execute(t, nil, "policy", "check"); r.code != exitUsage || !strings.Contains(r.log, "policy test") {
		t.Errorf("an unknown command: %+v", r)
	}
}

// A bad policy stops the start with the code for wrong usage. SIGHUP applies a new policy; an
// invalid one leaves the old one in force, and the log says why.
func TestServeReadsThePolicy(t *testing.T) {
	t.Parallel()
	file := filepath.Join(t.TempDir(), "policy.yaml")
	write := func(text string) {
		t.Helper()
		if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	env := []string{"CB_HOOK_POLICY=" + file, "CB_REDIS_URL=" + testenv.Redis(t).URL(), "CB_NAMESPACE=" + testenv.Namespace(t), "CB_LISTEN=127.0.0.1:0", "CB_LOG_FORMAT=json"}
	for text, want := range map[string]string{"": "it must be a map", "rules:\n- {tool: Bash, decision: maybe}\n": file + ":2: rule 1: unknown decision"} {
		write(text)
		if r := execute(t, env, "serve"); r.code != exitUsage || !strings.Contains(r.log, want) {
			t.Errorf("%q: code %d, %q; want %s", text, r.code, r.log, want)
		}
	}
	if r := execute(t, nil, "serve", "--redis-url", testenv.Redis(t).URL(), "--hook-policy", file+".not"); r.code != exitUsage || !strings.Contains(r.log, file+".not") {
		t.Errorf("no such file: %+v", r)
	}

	write(testedPolicy)
	c := launch(t, env, "serve")
	c.address(t)
	logs := func(text string) {
		t.Helper()
		testenv.Eventually(t, 30*time.Second, func() (bool, string) {
			return strings.Contains(c.log.String(), text), fmt.Sprintf("%q is not in %s", text, c.log)
		})
	}
	write("rules:\n- {tool: Bash, decision: maybe}\n")
	c.signal(t, syscall.SIGHUP)
	logs("the current rules stay in use")
	logs(`rule 1: unknown decision`)
	write(testedPolicy)
	c.signal(t, syscall.SIGHUP)
	logs("reloaded the policy")
	logs(`"rules":2`)
	c.signal(t, syscall.SIGTERM)
	if code := c.ended(t); code != 0 {
		t.Errorf("ended with %d", code)
	}
}
