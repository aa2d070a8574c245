// Package nodetest runs the programs of others that the tests use and that are written for Node.js:
// the public conformance suite of MCP, the official MCP clients for TypeScript, and a tokenizer.
// Only tests import it.
//
// package.json and package-lock.json pin all versions. The first test that needs a program installs
// them all with npm into the user's cache, where later runs find them. Without npm, or if the first
// run cannot reach the registry, the test fails and says why.
package nodetest

import (
	"bytes"
	"context"
	"crypto/sha256"
	"embed"
	"encoding/hex"
	"errors"
	"io/fs"
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

//go:embed client.mjs
var clientProgram []byte

// oldestNode is the Node.js version that the programs require if the registry has no Node.js to
// install with them.
const oldestNode = 22

// Programs are the installed programs.
type Programs struct {
	// Folder contains node_modules.
	Folder string
	// Node is the Node.js that runs the programs: the one that was installed with them, else the
	// machine's own.
	Node string

	client string // file in Folder
}

// Install returns the programs, and installs them if this is the first run.
func Install(t testing.TB) Programs {
	t.Helper()
	p := InstallFrom(t, pinned, "node")
	p.client = write(t, p.Folder, "client", clientProgram)
	return p
}

// InstallFrom is like Install for the packages that a package.json and a package-lock.json pin in
// another folder. name is the beginning of the name of their folder in the cache.
func InstallFrom(t testing.TB, from fs.FS, name string) Programs {
	t.Helper()
	folder := testenv.NPM(t, name, from, "node_modules")
	return Programs{Folder: folder, Node: node(t, folder)}
}

// write writes a program of the tests into the folder of the installed ones, where it finds them,
// and returns its name. The name changes with the text, because other test binaries may run another
// version.
func write(t testing.TB, folder, name string, text []byte) string {
	t.Helper()
	sum := sha256.Sum256(text)
	name += "-" + hex.EncodeToString(sum[:])[:16] + ".mjs"
	path := filepath.Join(folder, name)
	if _, err := os.Stat(path); err == nil {
		return name
	}
	fresh, err := os.CreateTemp(folder, name)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := fresh.Write(text); err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(fresh.Close(), os.Rename(fresh.Name(), path)); err != nil {
		t.Fatal(err)
	}
	return name
}

func node(t testing.TB, folder string) string {
	t.Helper()
	if found, _ := filepath.Glob(filepath.Join(folder, "node_modules", "node-*", "bin", "node")); len(found) > 0 {
		return found[0]
	}
	out, err := run(t, time.Minute, "", "node", "--version")
	major, _, _ := strings.Cut(strings.TrimPrefix(strings.TrimSpace(string(out)), "v"), ".")
	if n, bad := strconv.Atoi(major); err != nil || bad != nil || n < oldestNode {
		t.Fatalf("node is %s: the tests of MCP need Node.js %d or newer, see https://nodejs.org", bytes.TrimSpace(out), oldestNode)
	}
	return "node"
}

// Run runs a JavaScript file in Folder and returns its output. Its error is that of the process.
func (p Programs) Run(t testing.TB, atMost time.Duration, file string, args ...string) ([]byte, error) {
	t.Helper()
	return run(t, atMost, p.Folder, p.Node, append([]string{file}, args...)...)
}

func run(t testing.TB, atMost time.Duration, folder, program string, args ...string) ([]byte, error) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), atMost)
	defer cancel()
	cmd := exec.CommandContext(ctx, program, args...)
	cmd.Dir = folder
	return cmd.CombinedOutput()
}
