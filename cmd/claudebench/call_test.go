package main

import (
	"encoding/json"
	"encoding/pem"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/claudebench/claudebench/internal/testenv"
)

func TestCall(t *testing.T) {
	t.Parallel()
	c := launch(t, nil, "serve", "--listen", "127.0.0.1:0", "--redis-url", testenv.Redis(t).URL(), "--namespace", testenv.Namespace(t))
	url := "CB_URL=http://" + c.address(t) + "/"

	r := execute(t, []string{url}, "call", "task.create", `{"text":"<b>","metadata":{"n":12345678901234567}}`)
	var task struct{ ID, Text string }
	if r.code != 0 || r.log != "" || json.Unmarshal([]byte(r.out), &task) != nil || task.ID != "t-1" || task.Text != "<b>" ||
		!strings.Contains(r.out, "12345678901234567") || strings.Count(r.out, "\n") != 1 {
		t.Errorf("%+v", r)
	}
	r = execute(t, []string{url}, "call", "task.get", `{"id":"t-9"}`)
	var refused struct {
		Code    int
		Message string
	}
	if r.code != 1 || r.out != "" || json.Unmarshal([]byte(r.log), &refused) != nil || refused.Code != -32004 || refused.Message != "Not found" {
		t.Errorf("%+v", r)
	}
	read := command(t, []string{url}, "call", "task.get", "-")
	read.Stdin = strings.NewReader(`{"id":"t-1"}`)
	if r := finish(t, read); r.code != 0 || !strings.Contains(r.out, `"id":"t-1"`) {
		t.Errorf("params from standard input: %+v", r)
	}
	file := filepath.Join(t.TempDir(), "params.json")
	if err := os.WriteFile(file, []byte(`{"id":"t-1"}`), 0o600); err != nil {
		t.Fatal(err)
	}
	if r := execute(t, []string{url}, "call", "task.get", "@"+file); r.code != 0 || !strings.Contains(r.out, `"id":"t-1"`) {
		t.Errorf("params from a file: %+v", r)
	}
	if r := execute(t, []string{url}, "call", "task.get", "@"+file+"x"); r.code != exitUsage || !strings.Contains(r.log, file+"x") {
		t.Errorf("params from a file that is not there: %+v", r)
	}
	if r := execute(t, []string{url}, "call", "system.check_health"); r.code != 0 || !strings.Contains(r.out, `"healthy":[]`) {
		t.Errorf("without params: %+v", r)
	}
}

// A coordinator that listens on every address is called on this machine.
func TestBaseURL(t *testing.T) {
	t.Parallel()
	for given, want := range map[string]string{
		":3000": "http://localhost:3000", "0.0.0.0:3000": "http://localhost:3000", "[::]:3000": "http://localhost:3000",
		"192.0.2.1:3000": "http://192.0.2.1:3000", "https://cb.example.com/": "https://cb.example.com",
	} {
		if got := (&target{url: given}).baseURL(); got != want {
			t.Errorf("%s is %s, want %s", given, got, want)
		}
	}
}

func TestCallNamesAnUntrustedCertificate(t *testing.T) {
	t.Parallel()
	server := httptest.NewTLSServer(http.NotFoundHandler())
	defer server.Close()
	r := execute(t, nil, "call", "task.list", "--url", server.URL)
	for _, want := range []string{"is not trusted", "--ca"} {
		if r.code != exitUnavailable || !strings.Contains(r.log, want) || strings.Contains(r.log, "connect to a coordinator") {
			t.Errorf("code %d, %q: want %q in it", r.code, r.log, want)
		}
	}
}

// A flag or a variable adds a private CA to the system's CAs.
func TestCallTrustsAPrivateCA(t *testing.T) {
	t.Parallel()
	server := httptest.NewTLSServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		_, _ = io.WriteString(w, `{"jsonrpc":"2.0","id":1,"result":{"ok":true}}`)
	}))
	defer server.Close()
	ca := filepath.Join(t.TempDir(), "ca.pem")
	certificate := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: server.Certificate().Raw})
	if err := os.WriteFile(ca, certificate, 0o600); err != nil {
		t.Fatal(err)
	}
	if r := execute(t, nil, "call", "task.list", "--url", server.URL, "--ca", ca); r.code != 0 || !strings.Contains(r.out, `"ok":true`) {
		t.Errorf("%+v", r)
	}
	if r := execute(t, []string{"CB_CA=" + ca}, "ready", "--url", server.URL); r.code != 0 {
		t.Errorf("%+v", r)
	}
	empty := filepath.Join(t.TempDir(), "empty.pem")
	if err := os.WriteFile(empty, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	for _, file := range []string{empty, empty + "x"} {
		if r := execute(t, nil, "call", "task.list", "--url", server.URL, "--ca", file); r.code != exitUsage || !strings.Contains(r.log, file) {
			t.Errorf("%s: %+v", file, r)
		}
	}
}

func TestVersionFlag(t *testing.T) {
	t.Parallel()
	command, flag := execute(t, nil, "version"), execute(t, nil, "--version")
	if flag.code != 0 || flag.out != command.out || !strings.HasPrefix(flag.out, "claudebench ") {
		t.Errorf("version prints %q, --version %q", command.out, flag.out)
	}
}

func TestCallWithoutACoordinator(t *testing.T) {
	t.Parallel()
	r := execute(t, []string{"CB_LISTEN=127.0.0.1:1"}, "call", "task.list")
	for _, want := range []string{"connect to a coordinator at 127.0.0.1:1", "claudebench up", "--url"} {
		if r.code != exitUnavailable || r.out != "" || !strings.Contains(r.log, want) {
			t.Errorf("code %d, %q: want %q in it", r.code, r.log, want)
		}
	}
	for _, body := range []string{"<html>", `{"status":"ok"}`, `[]`, ""} {
		other := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
			_, _ = io.WriteString(w, body)
		}))
		if r := execute(t, nil, "call", "task.list", "--url", other.URL); r.code != exitUnavailable || r.out != "" || !strings.Contains(r.log, "not a coordinator") {
			t.Errorf("a server that answers %q: %+v", body, r)
		}
		other.Close()
	}
}
