package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// Init prints what a project needs and changes nothing. With --write it merges it into the files,
// says what it did, and changes nothing when it is run again. No token gets into a file.
func TestInitClaudeCode(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	settings := filepath.Join(dir, ".claude", "settings.json")
	if err := os.Mkdir(filepath.Dir(settings), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(settings, []byte("{\"model\": \"opus\"}\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	env := []string{"CB_TOKEN=cbt_secret", "CB_URL=https://cb.example/"}
	r := execute(t, env, "init", "claude-code", "--dir", dir, "--roles", "worker,lead")
	for _, want := range []string{".mcp.json:", `"worker,lead"`, ".claude/settings.json:", `"https://cb.example/hooks/claude-code"`, "${CB_TOKEN}", "Nothing was written"} {
		if r.code != 0 || !strings.Contains(r.out, want) {
			t.Errorf("code %d: %s has no %s", r.code, r.out, want)
		}
	}
	if names, err := os.ReadDir(dir); err != nil || len(names) != 1 {
		t.Errorf("without --write there are %v, %v", names, err)
	}
	r = execute(t, env, "init", "claude-code", "--dir", dir, "--write")
	for _, want := range []string{".mcp.json: written\n", ".claude/settings.json: changed; the old file is .claude/settings.json.bak\n", "https://cb.example", "CB_TOKEN", dir} {
		if r.code != 0 || !strings.Contains(r.out, want) {
			t.Errorf("--write: code %d: %s %s has no %q", r.code, r.out, r.log, want)
		}
	}
	text, err := os.ReadFile(settings)
	if err != nil || !strings.HasPrefix(string(text), `{"model": "opus", "hooks": `) || strings.Contains(string(text), "secret") {
		t.Errorf("settings.json is %s, %v", text, err)
	}
	if r = execute(t, env, "init", "claude-code", "--dir", dir, "--write"); r.code != 0 || strings.Count(r.out, ": unchanged") != 2 {
		t.Errorf("again: %+v", r)
	}
	if again, err := os.ReadFile(settings); err != nil || string(again) != string(text) {
		t.Errorf("the second run changed settings.json: %s, %v", again, err)
	}
	if err := os.WriteFile(settings, []byte("{ // mine\n}"), 0o644); err != nil {
		t.Fatal(err)
	}
	if r = execute(t, nil, "init", "claude-code", "--dir", dir, "--write"); r.code != exitFailed || !strings.Contains(r.log, "nothing was changed") || r.out != "" {
		t.Errorf("a comment: %+v", r)
	}
}
