package main

import (
	"encoding/json"
	"io"
	"net/http"
	"net/http/httptest"
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
	if r := execute(t, []string{url}, "call", "system.check_health"); r.code != 0 || !strings.Contains(r.out, `"healthy":[]`) {
		t.Errorf("without params: %+v", r)
	}
}

func TestCallWithoutACoordinator(t *testing.T) {
	t.Parallel()
	r := execute(t, []string{"CB_LISTEN=127.0.0.1:1"}, "call", "task.list")
	for _, want := range []string{"no coordinator answers at 127.0.0.1:1", "claudebench up", "--url"} {
		if r.code != exitUnavailable || r.out != "" || !strings.Contains(r.log, want) {
			t.Errorf("code %d, %q: want %q in it", r.code, r.log, want)
		}
	}
	for _, body := range []string{"<html>", `{"status":"ok"}`, `[]`, ""} {
		other := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
			_, _ = io.WriteString(w, body)
		}))
		if r := execute(t, nil, "call", "task.list", "--url", other.URL); r.code != 1 || r.out != "" || !strings.Contains(r.log, "does not answer as a coordinator does") {
			t.Errorf("a server that answers %q: %+v", body, r)
		}
		other.Close()
	}
}
