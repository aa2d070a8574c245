package agenttest

import (
	"bytes"
	"embed"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/claudebench/claudebench/internal/testenv"
)

//go:embed package.json package-lock.json
var pinned embed.FS

// claudeProgram is the program in the folder of its installation. Its package is that of the
// platform.
const claudeProgram = "node_modules/@anthropic-ai/claude-code-*/claude"

// patience is how long Claude Code may take for its next request on a busy machine.
const patience = time.Minute

// claude is a run of Claude Code. The test plays its model with use and say.
type claude struct {
	*testenv.Child
	t        *testing.T
	model    *model
	out, log *testenv.Screen
	pending  *request // not answered yet
	uses     int      // of tools
	asked    string   // the last use
}

// project is the folder that Claude Code runs in, its user's home, and where it finds programs.
type project struct{ folder, home, path string }

func newProject(t *testing.T) project {
	t.Helper()
	return project{t.TempDir(), t.TempDir(), os.Getenv("PATH")}
}

// write writes a file of the project and returns its path.
func (p project) write(t *testing.T, name string, content any) string {
	t.Helper()
	text, err := json.Marshal(content)
	if err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(p.folder, name)
	if err := os.WriteFile(path, text, 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

// allowed are the tools that Claude Code may use without asking.
const allowed = "mcp__claudebench,Bash,TaskCreate,TaskUpdate"

// start runs Claude Code with a prompt and waits for its first request. options are further options
// of its command line.
func (p project) start(t *testing.T, prompt string, options ...string) *claude {
	t.Helper()
	folder := testenv.NPM(t, "agents", pinned, claudeProgram)
	found, err := filepath.Glob(filepath.Join(folder, claudeProgram))
	if err != nil || len(found) == 0 {
		t.Fatalf("%s has no Claude Code: remove the folder", folder)
	}
	c := &claude{t: t, model: newModel(t), out: &testenv.Screen{}, log: &testenv.Screen{}}
	cmd := exec.Command(found[0], append([]string{
		"-p", prompt, "--output-format", "stream-json", "--verbose", "--allowedTools", allowed,
	}, options...)...)
	cmd.Dir = p.folder
	// Nothing of the environment: a proxy, a token or a setting of this machine's user would change
	// what is tested.
	cmd.Env = []string{
		"PATH=" + p.path, "HOME=" + p.home, "TMPDIR=" + p.home,
		"ANTHROPIC_BASE_URL=" + c.model.url, "ANTHROPIC_API_KEY=none",
		"CLAUDE_CODE_DISABLE_NONESSENTIAL_TRAFFIC=1", "DISABLE_AUTOUPDATER=1", "DISABLE_TELEMETRY=1",
		// The first request waits until the MCP server is connected, also on a busy machine.
		"CLAUDE_CODE_MCP_STARTUP_WAIT_MS=60000",
	}
	cmd.Stdout, cmd.Stderr = c.out, c.log
	c.Child = testenv.Launch(t, cmd)
	c.next()
	return c
}

// next waits for the next request of the conversation.
func (c *claude) next() {
	c.t.Helper()
	late := time.NewTimer(patience)
	defer late.Stop()
	select {
	case c.pending = <-c.model.requests:
	case <-c.Done():
		c.t.Fatalf("Claude Code has ended:\n%s\n%s", c.out, c.log)
	case <-late.C:
		c.t.Fatalf("Claude Code makes no request within %v:\n%s\n%s", patience, c.out, c.log)
	}
}

// ask lets the model use a tool. The result is read with result or answer.
func (c *claude) ask(tool string, input map[string]any) {
	c.t.Helper()
	c.uses++
	c.asked = fmt.Sprint(tool, " ", input)
	c.pending.answer <- block{Type: "tool_use", ID: c.useID(), Name: tool, Input: input}
}

func (c *claude) useID() string { return "toolu_" + strconv.Itoa(c.uses) }

// result waits until the tool has ended, and returns its result as the model receives it.
func (c *claude) result() block {
	c.t.Helper()
	c.next()
	result, ok := c.pending.result(c.useID())
	if !ok {
		c.t.Fatalf("the request after %s has no result of it:\n%s", c.asked, c.out)
	}
	return result
}

// answer returns the result of a tool of the coordinator, which must have succeeded.
func answer[R any](c *claude) R {
	c.t.Helper()
	result := c.result()
	if result.IsError {
		c.t.Fatalf("%s: %s", c.asked, result.text())
	}
	var decoded R
	// The coordinator may add sentences after the result.
	if err := json.NewDecoder(strings.NewReader(result.text())).Decode(&decoded); err != nil {
		c.t.Fatalf("%s answered %s: %v", c.asked, result.text(), err)
	}
	return decoded
}

// use lets the model use a tool of the coordinator, which must succeed, and returns its result.
func use[R any](c *claude, tool string, input map[string]any) R {
	c.t.Helper()
	c.ask("mcp__claudebench__"+tool, input)
	return answer[R](c)
}

// outcome is the last line of Claude Code's output.
type outcome struct {
	Type    string `json:"type"`
	Subtype string `json:"subtype"`
	IsError bool   `json:"is_error"`
	Result  string `json:"result"`
}

// say lets the model end its turn with a text. Claude Code must then end successfully with it.
func (c *claude) say(text string) {
	c.t.Helper()
	c.pending.answer <- block{Type: "text", Text: text}
	code := c.Ended(c.t)
	lines := bytes.Split(bytes.TrimSpace([]byte(c.out.String())), []byte("\n"))
	var last outcome
	if err := json.Unmarshal(lines[len(lines)-1], &last); err != nil {
		c.t.Fatalf("the output of Claude Code ends with %s: %v", lines[len(lines)-1], err)
	}
	if want := (outcome{"result", "success", false, text}); code != 0 || last != want {
		c.t.Fatalf("Claude Code ended with code %d and %+v; want %+v:\n%s\n%s", code, last, want, c.out, c.log)
	}
}

// learn lets the model load tools of the coordinator. Claude Code first tells the model only their
// names.
func (c *claude) learn(tools ...string) {
	c.t.Helper()
	for i, tool := range tools {
		tools[i] = "mcp__claudebench__" + tool
	}
	c.ask("ToolSearch", map[string]any{"query": "select:" + strings.Join(tools, ",")})
	result := c.result()
	if result.IsError {
		c.t.Fatalf("load %v: %s", tools, result.text())
	}
	for _, tool := range tools {
		if !c.offers(tool) {
			c.t.Fatalf("after ToolSearch, Claude Code does not offer %s; it answered %s", tool, result.Content)
		}
	}
}

// offers reports whether the pending request offers the model a tool with its schema.
func (c *claude) offers(tool string) bool {
	for _, offered := range c.pending.Tools {
		if offered.Name == tool && len(offered.InputSchema) > 0 {
			return true
		}
	}
	return false
}
