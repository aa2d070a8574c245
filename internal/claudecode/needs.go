package claudecode

import (
	"fmt"
	"strings"

	"github.com/claudebench/claudebench/internal/jsontext"
)

// The files, relative to the project's folder.
const (
	ServersFile  = ".mcp.json"
	SettingsFile = ".claude/settings.json"
)

// HooksPath is the path of the coordinator's endpoint for hooks.
const HooksPath = "/hooks/claude-code"

// hookTimeout is how long Claude Code waits for the answer to a hook, in seconds. Its own default is
// minutes, for which an agent would wait if the coordinator hung.
const hookTimeout = 5

// events are the hooks that the coordinator is told of, in the order of a session. Missing are
// SessionStart and Setup, which Claude Code never sends by HTTP; WorktreeCreate, because a hook for
// it replaces what Claude Code does itself; and those that say nothing about the agent's work.
func events() []string {
	return []string{
		"UserPromptSubmit", "PreToolUse", "PermissionRequest", "PermissionDenied", "PostToolUse", "PostToolUseFailure", "Notification",
		"SubagentStart", "SubagentStop", "TaskCreated", "TaskCompleted", "PreCompact", "PostCompact", "Stop", "StopFailure", "SessionEnd",
	}
}

// Needs is what a project needs.
type Needs struct {
	// URL is the coordinator's URL, without a trailing slash.
	URL string
	// Roles are those of the instance that the MCP server registers.
	Roles []string
}

// server is the MCP server. The token stays in the environment: both programs expand ${CB_TOKEN}
// when they start. The empty default avoids a warning where no token is needed.
func (n Needs) server() any {
	return struct {
		Command string            `json:"command"`
		Args    []string          `json:"args"`
		Env     map[string]string `json:"env"`
	}{
		"claudebench",
		[]string{"mcp", "--roles", strings.Join(n.Roles, ",")},
		map[string]string{"CB_URL": n.URL, "CB_TOKEN": "${CB_TOKEN:-}"},
	}
}

// hook is the hook of each event.
func (n Needs) hook() any {
	return struct {
		Type    string            `json:"type"`
		URL     string            `json:"url"`
		Headers map[string]string `json:"headers"`
		Allowed []string          `json:"allowedEnvVars"`
		Timeout int               `json:"timeout"`
	}{
		"http", n.URL + HooksPath, map[string]string{"Authorization": "Bearer ${CB_TOKEN}"}, []string{"CB_TOKEN"}, hookTimeout,
	}
}

// servers returns the text of .mcp.json with the MCP server in it.
func (n Needs) servers(text []byte) ([]byte, error) {
	d, err := jsontext.Parse(text)
	if err != nil {
		return nil, err
	}
	if err := d.Set(n.server(), "mcpServers", "claudebench"); err != nil {
		return nil, err
	}
	return d.Bytes(), nil
}

// settings returns the text of .claude/settings.json with the hooks in it.
func (n Needs) settings(text []byte) ([]byte, error) {
	d, err := jsontext.Parse(text)
	if err != nil {
		return nil, err
	}
	for _, event := range events() {
		if err := n.setHook(d, event); err != nil {
			return nil, err
		}
	}
	return d.Bytes(), nil
}

// setHook adds the hook of an event. Of a hook that is there already, perhaps for another
// coordinator, only the URL changes, so that a user's other changes stay.
func (n Needs) setHook(d *jsontext.Document, event string) error {
	for i := 0; ; i++ {
		if _, ok := d.Get("hooks", event, i); !ok {
			break
		}
		for j := 0; ; j++ {
			text, ok := d.Get("hooks", event, i, "hooks", j, "url")
			if _, more := d.Get("hooks", event, i, "hooks", j); !more {
				break
			}
			if ok && len(text) > 1 && text[0] == '"' && strings.HasSuffix(jsontext.Unquote(text), HooksPath) {
				return d.Set(n.URL+HooksPath, "hooks", event, i, "hooks", j, "url")
			}
		}
	}
	if err := d.Append(map[string]any{"hooks": []any{n.hook()}}, "hooks", event); err != nil {
		return fmt.Errorf("add the hook: %w", err)
	}
	return nil
}

// File is a file that a project needs.
type File struct {
	Name string // relative to the project's folder
	Text []byte
}

// Files returns the files of a project that has none.
func (n Needs) Files() ([]File, error) {
	servers, err := n.servers(nil)
	if err != nil {
		return nil, err
	}
	settings, err := n.settings(nil)
	if err != nil {
		return nil, err
	}
	return []File{{ServersFile, servers}, {SettingsFile, settings}}, nil
}
