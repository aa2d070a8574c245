package mcp_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"testing"
	"time"

	"github.com/claudebench/claudebench/internal/nodetest"
)

// suite is the public conformance suite.
type suite struct{ nodetest.Programs }

// runTime allows for all scenarios on a busy machine.
const runTime = 2 * time.Minute

func (s suite) run(t *testing.T, args ...string) ([]byte, error) {
	t.Helper()
	return s.Run(t, runTime, filepath.Join("node_modules", "@modelcontextprotocol", "conformance", "dist", "index.js"), args...)
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

// against runs every scenario that applies to a version of the protocol against a server, and
// returns the checks of each. It ignores the suite's exit code, which counts scenarios that do not
// apply to the server.
func (s suite) against(t *testing.T, url, version string) map[string][]check {
	t.Helper()
	results := t.TempDir()
	out, _ := s.run(t, "server", "--url", url, "--suite", "all", "--spec-version", version, "--output-dir", results)
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

// passed returns nil if there is at least one check and all succeeded, except those that do not
// apply, else what failed. unmet collects those that do not apply and did not succeed.
func passed(checks []check, apart map[string]string, unmet map[string]bool) error {
	succeeded := 0
	for _, c := range checks {
		switch {
		case c.Status == "SUCCESS":
			succeeded++
		case c.Status == "INFO":
		case apart[c.ID] != "":
			unmet[c.ID] = true
		default:
			return fmt.Errorf("%s %s: %s %s", c.ID, c.Status, c.ErrorMessage, c.Details)
		}
	}
	if succeeded == 0 {
		return errors.New("it checked nothing")
	}
	return nil
}
