package claudecode

import (
	"encoding/json"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

var needs = Needs{URL: "http://127.0.0.1:3000", Roles: []string{"worker", "reviewer"}}

// project is a folder with files.
func project(t *testing.T, files map[string]string) string {
	t.Helper()
	dir := t.TempDir()
	for name, text := range files {
		if err := os.MkdirAll(filepath.Dir(filepath.Join(dir, name)), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

// content returns the files of a folder.
func content(t *testing.T, dir string) map[string]string {
	t.Helper()
	files := map[string]string{}
	err := filepath.WalkDir(dir, func(path string, d os.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		text, err := os.ReadFile(path)
		name, _ := filepath.Rel(dir, path)
		files[name] = string(text)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return files
}

type settings struct {
	Hooks map[string][]struct {
		Matcher string
		Hooks   []struct {
			Type, URL, Command string
			Headers            map[string]string
			AllowedEnvVars     []string
			Timeout            int
		}
	}
}

func decode[T any](t *testing.T, text string) T {
	t.Helper()
	var v T
	if err := json.Unmarshal([]byte(text), &v); err != nil {
		t.Fatalf("%v in %s", err, text)
	}
	return v
}

func TestWriteNewFiles(t *testing.T) {
	t.Parallel()
	dir := project(t, nil)
	changes, err := needs.Write(dir)
	if err != nil || len(changes) != 2 || changes[0] != (Change{Name: ".mcp.json"}) || changes[1] != (Change{Name: ".claude/settings.json"}) {
		t.Fatalf("%+v, %v", changes, err)
	}
	files := content(t, dir)
	if names := slices.Sorted(maps.Keys(files)); !slices.Equal(names, []string{".claude/settings.json", ".mcp.json"}) {
		t.Errorf("the files are %v", names)
	}
	server := decode[struct {
		MCPServers map[string]struct {
			Command string
			Args    []string
			Env     map[string]string
		} `json:"mcpServers"`
	}](t, files[".mcp.json"]).MCPServers["claudebench"]
	if server.Command != "claudebench" || !slices.Equal(server.Args, []string{"mcp", "--roles", "worker,reviewer"}) ||
		!maps.Equal(server.Env, map[string]string{"CB_URL": "http://127.0.0.1:3000", "CB_TOKEN": "${CB_TOKEN:-}"}) {
		t.Errorf("the server is %+v", server)
	}
	hooks := decode[settings](t, files[".claude/settings.json"]).Hooks
	for _, event := range events() {
		if len(hooks[event]) != 1 || len(hooks[event][0].Hooks) != 1 {
			t.Fatalf("%s has %+v", event, hooks[event])
		}
		h := hooks[event][0].Hooks[0]
		if h.Type != "http" || h.URL != "http://127.0.0.1:3000/hooks/claude-code" || h.Headers["Authorization"] != "Bearer ${CB_TOKEN}" ||
			!slices.Equal(h.AllowedEnvVars, []string{"CB_TOKEN"}) || h.Timeout < 1 || h.Timeout > 10 {
			t.Errorf("%s has %+v", event, h)
		}
	}
	// A hook for WorktreeCreate would replace what Claude Code does.
	if len(hooks) != len(events()) || hooks["WorktreeCreate"] != nil || hooks["SessionStart"] != nil {
		t.Errorf("there are hooks for %v", slices.Sorted(maps.Keys(hooks)))
	}
}

const (
	oldServers  = "{\n\t\"mcpServers\": {\n\t\t\"z\": {\"command\": \"z\",   \"args\": [ ]},\n\t\t\"a\": {\"type\":\"http\",\"url\":\"https://a.example\"}\n\t},\n\t\"other\": 1.50\n}"
	oldSettings = `{
    "model": "opus",
    "hooks": {
        "PreToolUse": [
            {"matcher": "Bash", "hooks": [{"type": "command", "command": "./check.sh <a>"}]}
        ],
        "Stop": [
            {"hooks": [{"type": "http", "url": "http://old.example/hooks/claude-code", "timeout": 30}]}
        ],
        "WorktreeCreate": [],
        "SessionEnd": []
    },
    "permissions": {"allow": ["Bash(git *)"]}
}
`
)

// Everything else keeps its bytes and its order, the old files are kept, and a second run changes
// nothing.
func TestWriteMerges(t *testing.T) {
	t.Parallel()
	dir := project(t, map[string]string{".mcp.json": oldServers, ".claude/settings.json": oldSettings, ".claude/settings.json.bak": "older"})
	changes, err := needs.Write(dir)
	if err != nil || len(changes) != 2 || changes[0].Backup != ".mcp.json.bak" || changes[1].Backup != ".claude/settings.json.bak.1" {
		t.Fatalf("%+v, %v", changes, err)
	}
	files := content(t, dir)
	for name, want := range map[string]string{".mcp.json.bak": oldServers, ".claude/settings.json.bak.1": oldSettings, ".claude/settings.json.bak": "older"} {
		if files[name] != want {
			t.Errorf("%s is %q", name, files[name])
		}
	}
	servers := files[".mcp.json"]
	head, tail := oldServers[:strings.Index(oldServers, "\n\t},")], oldServers[strings.Index(oldServers, "\n\t},"):]
	if !strings.HasPrefix(servers, head+",\n\t\t\"claudebench\": {\n\t\t\t\"command\": \"claudebench\",") || !strings.HasSuffix(servers, "\n\t\t}"+tail) {
		t.Errorf(".mcp.json is\n%s", servers)
	}
	text := files[".claude/settings.json"]
	for _, kept := range []string{
		"{\n    \"model\": \"opus\",\n    \"hooks\": {\n        \"PreToolUse\": [\n            {\"matcher\": \"Bash\", \"hooks\": [{\"type\": \"command\", \"command\": \"./check.sh <a>\"}]},\n            {\n                \"hooks\": [",
		"{\"hooks\": [{\"type\": \"http\", \"url\": \"http://127.0.0.1:3000/hooks/claude-code\", \"timeout\": 30}]}", // only the URL is new
		"\"WorktreeCreate\": [],\n        \"SessionEnd\": [\n            {",
		"\n    },\n    \"permissions\": {\"allow\": [\"Bash(git *)\"]}\n}\n",
	} {
		if !strings.Contains(text, kept) {
			t.Errorf("settings.json has no %q:\n%s", kept, text)
		}
	}
	if h := decode[settings](t, text).Hooks; len(h["PreToolUse"]) != 2 || len(h["Stop"]) != 1 || len(h["SessionEnd"]) != 1 || len(h["PostToolUse"]) != 1 {
		t.Errorf("the hooks are %+v", h)
	}

	again, err := needs.Write(dir)
	if err != nil || len(again) != 2 || !again[0].Same || !again[1].Same {
		t.Errorf("again: %+v, %v", again, err)
	}
	if after := content(t, dir); !maps.Equal(after, files) {
		t.Errorf("the second run changed something: %v", after)
	}
	info, err := os.Stat(filepath.Join(dir, ".claude/settings.json"))
	if err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("the mode was 0600 and is %v, %v", info.Mode(), err)
	}
	other := Needs{URL: "https://cb.example", Roles: []string{"lead"}}
	if _, err := other.Write(dir); err != nil {
		t.Error(err)
	}
	if text := content(t, dir)[".claude/settings.json"]; strings.Contains(text, "127.0.0.1") || strings.Count(text, "https://cb.example/hooks/claude-code") != len(events()) {
		t.Errorf("after another URL:\n%s", text)
	}
}

// What is wrong with one file leaves both as they are.
func TestWriteChangesAllOrNothing(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		files map[string]string
		want  string
	}{
		"comment in settings": {map[string]string{".mcp.json": oldServers, ".claude/settings.json": "{\n  // mine\n}"}, ".claude/settings.json cannot be edited: line 2:"},
		"no JSON":             {map[string]string{".mcp.json": "servers:", ".claude/settings.json": oldSettings}, ".mcp.json cannot be edited: line 1:"},
		"array":               {map[string]string{".mcp.json": "[]"}, "not a JSON object"},
		"servers a list":      {map[string]string{".mcp.json": `{"mcpServers": []}`}, "mcpServers is not an object"},
		"hooks a text":        {map[string]string{".claude/settings.json": `{"hooks": "none"}`}, "hooks is not an object"},
		"event an object":     {map[string]string{".claude/settings.json": `{"hooks": {"Stop": {}}}`}, "hooks.Stop is not an array"},
		".claude a file":      {map[string]string{".claude": "x"}, "not a directory"},
		"settings a folder":   {map[string]string{".claude/settings.json/x": "x"}, "not a regular file"},
		"huge":                {map[string]string{".mcp.json": strings.Repeat(" ", maxFile+1)}, "is longer than"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			dir := project(t, c.files)
			before := content(t, dir)
			changes, err := needs.Write(dir)
			if err == nil || !strings.Contains(err.Error(), c.want) || len(changes) > 0 {
				t.Errorf("%+v, %v; want %s", changes, err, c.want)
			}
			if after := content(t, dir); !maps.Equal(after, before) {
				t.Errorf("it changed something: %v", after)
			}
		})
	}
	// The second file cannot be prepared: no draft of the first is left behind.
	dir := project(t, map[string]string{".mcp.json": oldServers})
	if err := os.Symlink("nowhere", filepath.Join(dir, ".claude")); err != nil {
		t.Fatal(err)
	}
	if changes, err := needs.Write(dir); err == nil || len(changes) > 0 {
		t.Errorf("no folder for the settings: %+v, %v", changes, err)
	}
	if names, err := os.ReadDir(dir); err != nil || len(names) != 2 {
		t.Errorf("left behind: %v, %v", names, err)
	}
	// In /proc not even root can create a file.
	for _, dir := range []string{filepath.Join(t.TempDir(), "none"), "/proc"} {
		if changes, err := needs.Write(dir); err == nil || len(changes) > 0 {
			t.Errorf("%s: %+v, no error", dir, changes)
		}
	}
}

// A symbolic link is not replaced, and none leads out of the folder.
func TestWriteFollowsNoLinks(t *testing.T) {
	t.Parallel()
	outside := project(t, map[string]string{"settings.json": "{}", "mcp.json": "{}"})
	for want, link := range map[string][2]string{
		".mcp.json is a symbolic link": {filepath.Join(outside, "mcp.json"), ".mcp.json"},
		"path escapes from parent":     {outside, ".claude"},
	} {
		dir := t.TempDir()
		if err := os.Symlink(link[0], filepath.Join(dir, link[1])); err != nil {
			t.Fatal(err)
		}
		if changes, err := needs.Write(dir); err == nil || !strings.Contains(err.Error(), want) || len(changes) > 0 {
			t.Errorf("%+v, %v; want %s", changes, err, want)
		}
	}
	if after := content(t, outside); after["settings.json"] != "{}" || after["mcp.json"] != "{}" || len(after) != 2 {
		t.Errorf("outside there is %v", after)
	}
}
