package hookpolicy

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
)

func writePolicy(t *testing.T, path, text string) {
	t.Helper()
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
}

func TestLoadRefuses(t *testing.T) {
	t.Parallel()
	const rule = "rules:\n- tool: Bash\n  field: command\n  match: rm\n  decision: deny\n  reason: no\n"
	for name, c := range map[string]struct{ text, want string }{
		"empty file":        {"", ": it must be a map with the member rules"},
		"comment only":      {"# nothing\n", ": it must be a map with the member rules"},
		"list":              {"- {tool: Bash, decision: allow}\n", ": it must be a map with the member rules"},
		"no YAML":           {"rules:\n- {tool: Bash\n", ": it is not YAML"},
		"bare star":         {"rules:\n- tool: *\n  decision: allow\n", ":2: it is not YAML"},
		"two documents":     {rule + "---\n" + rule, ": it must be one YAML document"},
		"garbage after":     {rule + "---\n\"", "it is not YAML"},
		"no rules":          {"{}\n", ":1: the member rules is missing"},
		"empty rules":       {"\nrules: []\n", ":2: rules is empty"},
		"null rules":        {"rules:\n", ":1: rules must be a list"},
		"rules twice":       {rule + rule, ":7: the member rules is repeated"},
		"another member":    {rule + "version: 2\n", `:7: unknown member "version"`},
		"rule no map":       {"rules:\n- Bash\n", ":2: rule 1: it must be a map"},
		"unknown member":    {rule + "- {tool: x, decision: allow,\n   matches: x}\n", `:8: rule 2: unknown member "matches"; the members are tool`},
		"repeated member":   {rule + "  reason: why\n", ":7: rule 1: the member reason is repeated"},
		"unknown decision":  {strings.Replace(rule, "deny", "block", 1), `:5: rule 1: unknown decision "block"; it is allow, ask or deny`},
		"decision case":     {strings.Replace(rule, "deny", "Deny", 1), `:5: rule 1: unknown decision "Deny"`},
		"no tool":           {"rules:\n- decision: allow\n", ":2: rule 1: tool is missing; '*' means every tool"},
		"no decision":       {"rules:\n- tool: Bash\n", ":2: rule 1: decision is missing"},
		"field alone":       {strings.Replace(rule, "  match: rm\n", "", 1), ":2: rule 1: field needs match"},
		"match alone":       {strings.Replace(rule, "  field: command\n", "", 1), ":2: rule 1: match needs field"},
		"empty field":       {strings.Replace(rule, "field: command", "field: ''", 1), ":3: rule 1: field is empty"},
		"no reason to deny": {strings.Replace(rule, "  reason: no\n", "", 1), ":2: rule 1: reason is missing; the agent or its user reads it with the decision deny"},
		"no reason to ask":  {"rules:\n- {tool: Bash, decision: ask}\n", "with the decision ask"},
		"blank reason":      {strings.Replace(rule, "reason: no", "reason: ' '", 1), ":6: rule 1: reason must be 1 to 1000 bytes"},
		"long reason":       {strings.Replace(rule, "reason: no", "reason: "+strings.Repeat("x", 1001), 1), ":6: rule 1: reason must be"},
		"bad expression":    {strings.Replace(rule, "match: rm", "match: '(rm'", 1), ":4: rule 1: match is not an RE2 expression: missing closing )"},
		"Perl's lookahead":  {strings.Replace(rule, "match: rm", "match: '(?!rm)'", 1), ":4: rule 1: match is not an RE2 expression: invalid or unsupported Perl syntax"},
		"huge expression":   {strings.Replace(rule, "match: rm", "match: '(a{1000}){1000}'", 1), ":4: rule 1: match is not an RE2 expression: invalid repeat count"},
		"long expression":   {strings.Replace(rule, "match: rm", "match: "+strings.Repeat("x", 1001), 1), ":4: rule 1: match is longer than"},
		"alternatives":      {strings.Replace(rule, "tool: Bash", "tool: Edit|Write", 1), `:2: rule 1: tool "Edit|Write": '|' is not part of a tool's name`},
		"permission rule":   {strings.Replace(rule, "tool: Bash", "tool: Bash(rm *)", 1), `'(' is not part of a tool's name`},
		"class":             {strings.Replace(rule, "tool: Bash", "tool: '[a-z'", 1), `'[' is not part of a tool's name`},
		"empty tool":        {strings.Replace(rule, "tool: Bash", "tool: ''", 1), ":2: rule 1: tool must be 1 to 256 bytes"},
		"tool not ASCII":    {strings.Replace(rule, "tool: Bash", "tool: Bäsh", 1), ":2: rule 1: tool must be ASCII"},
		"number":            {strings.Replace(rule, "match: rm", "match: 7", 1), ":4: rule 1: match must be a string"},
		"alias":             {"rules:\n- &a {tool: Bash, decision: allow}\n- *a\n", ":3: rule 2: it must be a map"},
		"merge":             {"rules:\n- &a {tool: Bash, decision: allow}\n- {<<: *a}\n", `:3: rule 2: unknown member "<<"`},
		"too many rules":    {"rules:\n" + strings.Repeat("- {tool: Bash, decision: allow}\n", 1001), ":1: there are 1001 rules; at most 1000"},
		"huge":              {rule + strings.Repeat("# filler\n", maxFile/9+1), "is longer than 1048576 bytes"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			path := filepath.Join(t.TempDir(), "policy.yaml")
			writePolicy(t, path, c.text)
			p, err := Load(path)
			var file *FileError
			if p != nil || !errors.As(err, &file) || !strings.HasPrefix(err.Error(), "policy "+path) || !strings.Contains(err.Error(), c.want) {
				t.Errorf("policy %v, error %v; want %s", p, err, c.want)
			}
		})
	}
}

func TestLoadRefusesFilesOfOthers(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	if _, err := Load(filepath.Join(dir, "none.yaml")); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("no file: %v", err)
	}
	open := filepath.Join(dir, "open.yaml")
	writePolicy(t, open, "rules:\n- {tool: Bash, decision: allow}\n")
	if err := os.Chmod(open, 0o666); err != nil {
		t.Fatal(err)
	}
	if _, err := Load(open); err == nil || !strings.Contains(err.Error(), "chmod go-w") {
		t.Errorf("a file that everybody can write: %v", err)
	}
	pipe := filepath.Join(dir, "pipe")
	if err := syscall.Mkfifo(pipe, 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := Load(pipe); err == nil || !strings.Contains(err.Error(), "not a regular file") {
		t.Errorf("a pipe: %v", err)
	}
}

// An invalid file leaves the current policy in force.
func TestReload(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "policy.yaml")
	writePolicy(t, path, "rules:\n- {tool: Bash, decision: deny, reason: first}\n")
	s, err := Open(path)
	if err != nil {
		t.Fatal(err)
	}
	writePolicy(t, path, "rules:\n- {tool: Bash, decision: perhaps}\n")
	if err := s.Reload(); err == nil || !strings.Contains(err.Error(), "perhaps") {
		t.Errorf("a bad file: %v", err)
	}
	if d, ok := s.Decide("Bash", nil); !ok || d.Reason != "first" || s.Len() != 1 {
		t.Errorf("after a bad file: %+v, %t, %d rules", d, ok, s.Len())
	}
	writePolicy(t, path, "rules:\n- {tool: Read, decision: allow}\n- {tool: Bash, decision: deny, reason: second}\n")
	if err := s.Reload(); err != nil {
		t.Error(err)
	}
	if d, ok := s.Decide("Bash", nil); !ok || d.Reason != "second" || d.Rule != 2 || s.Len() != 2 {
		t.Errorf("after a good file: %+v, %t, %d rules", d, ok, s.Len())
	}
}
