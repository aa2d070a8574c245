package main

import (
	"encoding/json"
	"os"
	"strings"
	"syscall"
	"testing"

	"github.com/claudebench/claudebench/internal/testenv"
)

func TestTail(t *testing.T) {
	t.Parallel()
	for _, from := range []string{"a coordinator", "Redis"} {
		t.Run("from "+from, func(t *testing.T) {
			t.Parallel()
			store := []string{"--redis-url", testenv.Redis(t).URL(), "--namespace", testenv.Namespace(t)}
			c := launch(t, nil, append([]string{"serve", "--listen", "127.0.0.1:0"}, store...)...)
			url := c.address(t)
			do := func(method, params string) {
				t.Helper()
				if r := execute(t, nil, "call", "--url", url, method, params); r.code != 0 {
					t.Fatalf("%+v", r)
				}
			}
			do("task.create", `{"text":"first"}`)
			do("system.register", `{"id":"w","roles":[]}`)

			source := store
			if from == "a coordinator" {
				source = []string{"--url", url}
			}
			tail := func(args ...string) *child {
				return launch(t, nil, append(append([]string{"tail"}, source...), args...)...)
			}
			all := tail("--after", "0", "--json")
			some := tail("--after", "0", "--types", "task.claimed,instance.*")
			all.shows(t, "leader.elected")
			some.shows(t, "instance.registered")
			do("task.claim", `{"workerId":"w"}`)
			all.shows(t, "task.claimed") // the event as it comes
			some.shows(t, "task.claimed")

			var ids []string
			for n, line := range all.out.lines() {
				var e struct {
					ID, Type string
					Seq      int
				}
				if err := json.Unmarshal([]byte(line), &e); err != nil || e.Seq != n+1 {
					t.Errorf("line %d is no envelope: %s", n, line)
				}
				ids = append(ids, e.ID)
			}
			if len(ids) != 4 {
				t.Fatalf("%d events:\n%s", len(ids), all.out)
			}
			if text := some.out.String(); strings.Contains(text, "task.created") || strings.Contains(text, "leader.elected") || !strings.Contains(text, "workerId=w") {
				t.Errorf("tail --types shows\n%s", text)
			}
			late := tail("--after", ids[2], "--json")
			late.shows(t, "task.claimed")
			if n := len(late.out.lines()); n != 1 {
				t.Errorf("tail --after shows %d events:\n%s", n, late.out)
			}
			for _, child := range []*child{all, some, late} {
				child.signal(t, os.Interrupt)
				if code := child.ended(t); code != 0 {
					t.Errorf("tail, after Ctrl-C: exit code %d\n%s", code, child.log)
				}
			}
		})
	}
}

// tail over HTTP selects a task's events, and goes on when the coordinator is back at its address.
func TestTailOfATask(t *testing.T) {
	t.Parallel()
	store := []string{"--redis-url", testenv.Redis(t).URL(), "--namespace", testenv.Namespace(t)}
	c := launch(t, nil, append([]string{"serve", "--listen", "127.0.0.1:0"}, store...)...)
	url := c.address(t)
	do := func(method, params string) result {
		t.Helper()
		r := execute(t, nil, "call", "--url", url, method, params)
		if r.code != 0 {
			t.Fatalf("%+v", r)
		}
		return r
	}
	do("task.create", `{"text":"other"}`)
	var task struct{ ID string }
	if err := json.Unmarshal([]byte(do("task.create", `{"text":"mine"}`).out), &task); err != nil {
		t.Fatal(err)
	}
	tail := launch(t, nil, "tail", "--url", url, "--after", "0", "--task", task.ID)
	tail.shows(t, "mine")
	c.signal(t, syscall.SIGTERM)
	c.ended(t)
	again := launch(t, nil, append([]string{"serve", "--listen", strings.TrimPrefix(url, "http://")}, store...)...)
	again.address(t)
	do("task.update", `{"id":"`+task.ID+`","updates":{"priority":7}}`)
	tail.shows(t, "priority")
	if text := tail.out.String(); strings.Contains(text, "other") || strings.Count(text, "task.created") != 1 {
		t.Errorf("tail --task shows\n%s", text)
	}
	tail.signal(t, os.Interrupt)
	if code := tail.ended(t); code != 0 {
		t.Errorf("exit code %d\n%s", code, tail.log)
	}
}
