package main

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/claudebench/claudebench/internal/auth"
	"github.com/claudebench/claudebench/internal/testenv"
)

// newTokenOf creates a token with the program and appends its entry to an auth file, as the help
// says.
func newTokenOf(t *testing.T, file string, args ...string) (secret string) {
	t.Helper()
	r := execute(t, nil, append([]string{"token", "new"}, args...)...)
	secret = strings.TrimSuffix(r.out, "\n")
	if r.code != 0 || strings.ContainsAny(secret, " \n") || strings.Contains(r.log, secret) {
		t.Fatalf("code %d, out %q, err %q", r.code, r.out, r.log)
	}
	f, err := os.OpenFile(file, os.O_APPEND|os.O_CREATE|os.O_WRONLY, 0o600)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := f.WriteString(r.log); err != nil {
		t.Fatal(err)
	}
	if err := f.Close(); err != nil {
		t.Fatal(err)
	}
	return secret
}

// --out writes a file that only its owner can read, and does not overwrite an existing one.
func TestTokenNewOut(t *testing.T) {
	t.Parallel()
	file := filepath.Join(t.TempDir(), "ops.token")
	args := []string{"token", "new", "--name", "ops", "--role", "operator", "--out", file}
	if r := execute(t, nil, args...); r.code != 0 || r.out != "" || !strings.Contains(r.log, "sha256:") || !strings.Contains(r.log, file) {
		t.Errorf("%+v", r)
	}
	info, err := os.Stat(file)
	if err != nil || info.Mode().Perm() != 0o600 {
		t.Fatalf("%v, %v", info, err)
	}
	before, err := os.ReadFile(file)
	if err != nil || len(before) < 40 {
		t.Fatalf("%q, %v", before, err)
	}
	if r := execute(t, nil, args...); r.code != exitFailed || strings.Contains(r.log, "sha256:") {
		t.Errorf("a file that is there: %+v", r)
	}
	if after, err := os.ReadFile(file); err != nil || string(after) != string(before) {
		t.Errorf("it was overwritten: %v", err)
	}
}

// The auth file accepts what `token new` writes to standard error, for any name.
func TestTokenNewMakesEntries(t *testing.T) {
	t.Parallel()
	file := filepath.Join(t.TempDir(), "tokens.yaml")
	for _, name := range []string{"fleet-1", "1e3", "null", "true", "0x1f"} {
		newTokenOf(t, file, "--name", name, "--role", "agent", "--role", "auditor", "--instance-prefix", "x: #"+name)
	}
	s, err := auth.Open(file)
	if err != nil {
		t.Fatal(err)
	}
	got, ok := s.Token("1e3")
	if !ok || s.Len() != 5 || strings.Join(got.Roles, ",") != "agent,auditor" || got.InstancePrefix != "x: #1e3" {
		t.Errorf("%d tokens; 1e3 is %+v", s.Len(), got)
	}
	for want, args := range map[string][]string{
		"unknown role":        {"--name", "a", "--role", "root"},
		"the name must":       {"--name", "a/b", "--role", "agent"},
		"required":            {"--name", "a"},
		"instancePrefix must": {"--name", "a", "--role", "agent", "--instance-prefix", ""},
	} {
		r := execute(t, nil, append([]string{"token", "new"}, args...)...)
		if r.code != exitUsage || r.out != "" || !strings.Contains(r.log, want) {
			t.Errorf("%v: code %d, %q, %q; want %s", args, r.code, r.out, r.log, want)
		}
	}
}

// SIGHUP applies a new auth file at once. An invalid file leaves the old one in force, and the log
// says why. The program's own calls take their token from the environment.
func TestSIGHUPReadsTheAuthFileAgain(t *testing.T) {
	t.Parallel()
	file := filepath.Join(t.TempDir(), "tokens.yaml")
	first := newTokenOf(t, file, "--name", "first", "--role", "agent")
	c := launch(t, nil, "serve", "--listen", "127.0.0.1:0", "--auth-file", file, "--redis-url", testenv.Redis(t).URL(),
		"--namespace", testenv.Namespace(t), "--log-format", "json")
	url := "http://" + c.address(t)
	call := func(token string) result {
		t.Helper()
		return execute(t, []string{"CB_TOKEN=" + token}, "call", "--url", url, "task.create", `{"text":"x"}`)
	}
	if r := call(first); r.code != 0 || !strings.Contains(r.out, `"text":"x"`) {
		t.Fatalf("the first token: %+v", r)
	}
	for _, wrong := range []string{"", "hunter2"} {
		if r := call(wrong); r.code != 1 || !strings.Contains(r.log, `"code":-32002`) {
			t.Errorf("the token %q: %+v", wrong, r)
		}
	}
	if r := execute(t, nil, "ready", "--url", url); r.code != 0 {
		t.Errorf("ready without a token: %+v", r)
	}

	if err := os.WriteFile(file, []byte("- {name: first, colour: red}\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	c.signal(t, syscall.SIGHUP)
	logs := func(text string) {
		t.Helper()
		testenv.Eventually(t, 30*time.Second, func() (bool, string) {
			return strings.Contains(c.log.String(), text), fmt.Sprintf("%q is not in %s", text, c.log)
		})
	}
	logs("the current tokens stay in use")
	logs(`line 1, entry 1 (first): unknown field \"colour\"`)
	if r := call(first); r.code != 0 {
		t.Errorf("after a bad file: %+v", r)
	}

	if err := os.Remove(file); err != nil {
		t.Fatal(err)
	}
	second := newTokenOf(t, file, "--name", "second", "--role", "operator")
	c.signal(t, syscall.SIGHUP)
	logs("reloaded the auth file")
	if r := call(first); r.code != 1 {
		t.Errorf("the token that was taken back: %+v", r)
	}
	if r := call(second); r.code != 0 {
		t.Errorf("the new token: %+v", r)
	}
	if log := c.log.String(); strings.Contains(log, first) || strings.Contains(log, second) {
		t.Errorf("the log tells a token: %s", log)
	}
	c.signal(t, syscall.SIGTERM)
	if code := c.ended(t); code != 0 {
		t.Errorf("ended with %d", code)
	}
}

// The coordinator listens beyond loopback only if the settings say who may call, or that everybody
// may.
func TestServeRefusesToListenBeyondLoopback(t *testing.T) {
	t.Parallel()
	file := filepath.Join(t.TempDir(), "tokens.yaml")
	newTokenOf(t, file, "--name", "a", "--role", "agent")
	serve := func(args ...string) []string {
		return append([]string{"serve", "--redis-url", testenv.Redis(t).URL(), "--namespace", testenv.Namespace(t), "--log-format", "json"}, args...)
	}
	for _, listen := range []string{"0.0.0.0:0", ":0", "[::]:0", "192.0.2.1:3000", "example.com:3000"} {
		r := execute(t, nil, serve("--listen", listen)...)
		for _, want := range []string{listen, "--auth-file", "--insecure", "127.0.0.1"} {
			if r.code != exitUsage || !strings.Contains(r.log, want) {
				t.Errorf("--listen %s: code %d, %q; want %s in it", listen, r.code, r.log, want)
			}
		}
	}
	launch(t, nil, serve("--listen", "0.0.0.0:0", "--insecure")...).address(t)
	c := launch(t, nil, serve("--listen", "0.0.0.0:0", "--auth-file", file)...)
	c.address(t)
	if !strings.Contains(c.log.String(), "tokens are sent over the network unencrypted") {
		t.Errorf("tokens in the clear, and nobody is told: %s", c.log)
	}
	for want, args := range map[string][]string{
		"pass both or neither": {"--tls-cert", "x.pem"},
		"x.pem":                {"--tls-cert", "x.pem", "--tls-key", "y.pem"},
		"none.yaml":            {"--auth-file", "none.yaml"},
	} {
		if r := execute(t, nil, serve(append(args, "--listen", "127.0.0.1:0")...)...); r.code == 0 || !strings.Contains(r.log, want) {
			t.Errorf("%v: code %d, %q; want %s", args, r.code, r.log, want)
		}
	}
}
