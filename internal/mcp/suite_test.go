package mcp_test

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"
	"time"
)

// suite is the public conformance suite, installed on this machine in the version that conformance/
// pins.
type suite struct{ folder string }

const (
	// oldestNode is the Node.js version that the suite requires if the registry has no Node.js to
	// install with it.
	oldestNode = 22
	// installTime allows for about 120 packages over a slow connection, and runTime for all
	// scenarios on a busy machine.
	installTime = 4 * time.Minute
	runTime     = 2 * time.Minute
)

// pinned are the files that determine what is installed.
var pinned = []string{"package.json", "package-lock.json"}

// conformance installs the suite into the user's cache, where later runs find it, and returns it.
func conformance(t *testing.T) suite {
	t.Helper()
	needNPM(t)
	cache, err := os.UserCacheDir()
	if err != nil {
		t.Fatalf("no folder for the conformance suite: %v", err)
	}
	digest := sha256.New()
	files := map[string][]byte{}
	for _, name := range pinned {
		if files[name], err = os.ReadFile(filepath.Join("conformance", name)); err != nil {
			t.Fatal(err)
		}
		digest.Write(files[name])
	}
	parent := filepath.Join(cache, "claudebench")
	s := suite{filepath.Join(parent, "mcp-conformance-"+hex.EncodeToString(digest.Sum(nil))[:16])}
	if _, err := os.Stat(s.folder); err == nil {
		return s
	}
	if err := os.MkdirAll(parent, 0o755); err != nil { //nolint:gosec // a cache holds no secrets
		t.Fatal(err)
	}
	// Installed under another name and then renamed: a folder with the final name is complete, even
	// if two tests install at once.
	fresh, err := os.MkdirTemp(parent, "installing-")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(fresh) })
	for name, text := range files {
		if err := os.WriteFile(filepath.Join(fresh, name), text, 0o644); err != nil { //nolint:gosec // likewise
			t.Fatal(err)
		}
	}
	if out, err := run(t, installTime, fresh, "npm", "ci", "--ignore-scripts", "--no-audit", "--no-fund"); err != nil {
		t.Fatalf("npm ci could not install the conformance suite (the first run needs the npm registry): %v\n%s", err, out)
	}
	if err := os.Rename(fresh, s.folder); err != nil && !errors.Is(err, fs.ErrExist) {
		if _, missing := os.Stat(s.folder); missing != nil {
			t.Fatal(err)
		}
	}
	return s
}

func needNPM(t *testing.T) {
	t.Helper()
	if _, err := exec.LookPath("npm"); err != nil {
		t.Fatal("npm is missing, which installs the conformance suite for MCP servers: `make deps` installs it, else https://nodejs.org")
	}
}

// node returns the Node.js that was installed with the suite, else the machine's own.
func (s suite) node(t *testing.T) string {
	t.Helper()
	if found, _ := filepath.Glob(filepath.Join(s.folder, "node_modules", "node-*", "bin", "node")); len(found) > 0 {
		return found[0]
	}
	out, err := run(t, runTime, "", "node", "--version")
	major, _, _ := strings.Cut(strings.TrimPrefix(strings.TrimSpace(string(out)), "v"), ".")
	if n, bad := strconv.Atoi(major); err != nil || bad != nil || n < oldestNode {
		t.Fatalf("node is %s: the conformance suite for MCP servers needs Node.js %d or newer, see https://nodejs.org", bytes.TrimSpace(out), oldestNode)
	}
	return "node"
}

func run(t *testing.T, atMost time.Duration, folder, program string, args ...string) ([]byte, error) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), atMost)
	defer cancel()
	cmd := exec.CommandContext(ctx, program, args...)
	cmd.Dir = folder
	return cmd.CombinedOutput()
}

func (s suite) run(t *testing.T, args ...string) ([]byte, error) {
	t.Helper()
	program := filepath.Join("node_modules", "@modelcontextprotocol", "conformance", "dist", "index.js")
	return run(t, runTime, s.folder, s.node(t), append([]string{program}, args...)...)
}

var listed = regexp.MustCompile(`(?m)^  - (\S+)`)

// scenarios returns the names of all server scenarios.
func (s suite) scenarios(t *testing.T) []string {
	t.Helper()
	out, err := s.run(t, "list", "--server")
	if err != nil {
		t.Fatalf("list the scenarios: %v\n%s", err, out)
	}
	var names []string
	for _, m := range listed.FindAllSubmatch(out, -1) {
		names = append(names, string(m[1]))
	}
	if len(names) == 0 {
		t.Fatalf("the suite lists no scenarios:\n%s", out)
	}
	return names
}

// check is one check of a scenario.
type check struct {
	ID, Status, ErrorMessage string
	Details                  json.RawMessage
}

var reported = regexp.MustCompile(`^server-(.+)-\d{4}-\d\d-\d\dT[-0-9]+Z$`)

// against runs every scenario against a server and returns the checks of each. It ignores the
// suite's exit code, which counts scenarios that do not apply.
func (s suite) against(t *testing.T, url string) map[string][]check {
	t.Helper()
	results := t.TempDir()
	out, _ := s.run(t, "server", "--url", url, "--suite", "all", "--output-dir", results)
	folders, err := os.ReadDir(results)
	if err != nil || len(folders) == 0 {
		t.Fatalf("the suite left no results: %v\n%s", err, out)
	}
	found := map[string][]check{}
	for _, f := range folders {
		m := reported.FindStringSubmatch(f.Name())
		if m == nil {
			t.Fatalf("the suite left %s", f.Name())
		}
		text, err := os.ReadFile(filepath.Join(results, f.Name(), "checks.json"))
		if err != nil {
			t.Fatal(err)
		}
		var checks []check
		if err := json.Unmarshal(text, &checks); err != nil {
			t.Fatalf("the results of %s: %v\n%s", m[1], err, text)
		}
		found[m[1]] = checks
	}
	return found
}

// passed returns nil if there is at least one check and all succeeded, else what failed.
func passed(checks []check) error {
	succeeded := 0
	for _, c := range checks {
		switch c.Status {
		case "SUCCESS":
			succeeded++
		case "INFO":
		default:
			return fmt.Errorf("%s %s: %s %s", c.ID, c.Status, c.ErrorMessage, c.Details)
		}
	}
	if succeeded == 0 {
		return errors.New("it checked nothing")
	}
	return nil
}
