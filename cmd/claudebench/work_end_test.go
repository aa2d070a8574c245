package main

import (
	"fmt"
	"os"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/claudebench/claudebench/internal/devstack"
	"github.com/claudebench/claudebench/internal/testenv"
)

// patience bounds waits for programs on a busy machine.
const patience = 60 * time.Second

// gate is a named pipe. The shell text waits until open was called.
func gate(t *testing.T) (text string, open func()) {
	t.Helper()
	path := t.TempDir() + "/gate"
	if err := syscall.Mkfifo(path, 0o600); err != nil {
		t.Fatal(err)
	}
	return `read -r line <"` + path + `"; `, func() {
		t.Helper()
		if err := os.WriteFile(path, []byte("go\n"), 0); err != nil {
			t.Fatal(err)
		}
	}
}

// gone checks that an instance is not registered any more.
func (f workFleet) gone(instance string) {
	f.t.Helper()
	if r := execute(f.t, f.env, "call", "task.claim", fmt.Sprintf(`{"workerId":%q}`, instance)); r.code == 0 || !strings.Contains(r.log, "not registered") {
		f.t.Errorf("%s is still registered: %+v", instance, r)
	}
}

// After a signal, a command that finishes within the grace completes its task, and no other task is
// claimed.
func TestWorkFinishesAfterASignal(t *testing.T) {
	t.Parallel()
	for _, s := range []syscall.Signal{syscall.SIGTERM, syscall.SIGINT} {
		t.Run(s.String(), func(t *testing.T) {
			t.Parallel()
			f, l := newWorkFleet(t), testenv.WatchLife(t)
			wait, open := gate(t)
			ids := f.create("one", "two")
			w := f.start("--id", "w", "--grace", "1m", "--", "sh", "-c", l.Text+wait+"echo finished")
			<-l.Begun
			w.signal(t, s)
			w.logs(t, "a second signal kills them")
			open()
			if code := w.ended(t); code != 0 {
				t.Errorf("exit code %d: %s", code, w.log)
			}
			if task := f.get(ids[0]); task.Status != "completed" || string(task.Result) != `{"output":"finished"}` {
				t.Errorf("%+v", task)
			}
			if task := f.get(ids[1]); task.Status != "pending" || task.Attempt != 0 {
				t.Errorf("%+v", task)
			}
			f.gone("w")
			l.Ended(t)
		})
	}
}

// What is not finished after the grace is stopped and given back.
func TestWorkGivesBackAfterTheGrace(t *testing.T) {
	t.Parallel()
	f, l := newWorkFleet(t), testenv.WatchLife(t)
	id := f.create("long")[0]
	w := f.start("--id", "w", "--grace", "200ms", "--", "sh", "-c", `trap '' TERM; `+l.Child+"wait")
	<-l.Begun
	w.signal(t, syscall.SIGTERM)
	if code := w.ended(t); code != 0 {
		t.Errorf("exit code %d: %s", code, w.log)
	}
	l.Ended(t)
	if task := f.get(id); task.Status != "pending" || task.Attempt != 1 || task.AssignedTo != nil {
		t.Errorf("%+v", task)
	}
	f.gone("w")
}

// A command that fails because the signal reached it too has its task given back.
func TestWorkGivesBackWhatFailsMeanwhile(t *testing.T) {
	t.Parallel()
	f, l := newWorkFleet(t), testenv.WatchLife(t)
	wait, open := gate(t)
	id := f.create("long")[0]
	w := f.start("--grace", "1m", "--", "sh", "-c", l.Text+wait+"exit 143")
	<-l.Begun
	w.signal(t, syscall.SIGTERM)
	w.logs(t, "a second signal kills them")
	open()
	if code := w.ended(t); code != 0 {
		t.Errorf("exit code %d: %s", code, w.log)
	}
	if task := f.get(id); task.Status != "pending" || task.Attempt != 1 {
		t.Errorf("%+v", task)
	}
}

func TestASecondSignalKillsTheCommands(t *testing.T) {
	t.Parallel()
	f, l := newWorkFleet(t), testenv.WatchLife(t)
	id := f.create("long")[0]
	w := f.start("--id", "w", "--grace", "1h", "--", "sh", "-c", `trap '' TERM; `+l.Child+"wait")
	<-l.Begun
	w.signal(t, syscall.SIGTERM)
	w.logs(t, "a second signal kills them")
	w.signal(t, syscall.SIGTERM)
	if code := w.ended(t); code != exitFailed || !strings.Contains(w.log.String(), "second signal; unfinished tasks were given back") {
		t.Errorf("exit code %d: %s", code, w.log)
	}
	l.Ended(t)
	if task := f.get(id); task.Status != "pending" || task.Attempt != 1 {
		t.Errorf("%+v", task)
	}
	f.gone("w")
}

// When the runner is killed, its commands die, and another runner does the task.
func TestWorkIsKilled(t *testing.T) {
	t.Parallel()
	f, l := newWorkFleet(t), testenv.WatchLife(t)
	id := f.create("x")[0]
	w := f.start("--id", "w", "--", "sh", "-c", `trap '' HUP INT TERM; `+l.Child+"wait; echo late")
	<-l.Begun
	w.signal(t, syscall.SIGKILL)
	w.ended(t)
	l.Ended(t)
	// Silence for the TTL does the same.
	f.call("system.check_health", `{"timeout":0}`, nil)
	if r := f.work("--once", "--", "sh", "-c", `echo "attempt $CB_ATTEMPT"`); r.code != 0 {
		t.Fatalf("%+v", r)
	}
	if task := f.get(id); task.Status != "completed" || string(task.Result) != `{"output":"attempt 2"}` {
		t.Errorf("%+v", task)
	}
}

// When the task is called off, the command is stopped, and the task is cancelled.
func TestWorkIsToldThatATaskIsCalledOff(t *testing.T) {
	t.Parallel()
	f, l := newWorkFleet(t), testenv.WatchLife(t)
	ids := f.create("x", "y")
	w := f.start("--grace", "1s", "--max-failures", "1", "--", "sh", "-c",
		`test "$CB_TASK_ID" != "`+ids[0]+`" && exec echo done; trap 'exit 0' TERM; `+l.Child+"wait")
	<-l.Begun
	f.call("task.cancel", fmt.Sprintf(`{"id":%q,"graceMs":3600000}`, ids[0]), nil)
	l.Ended(t) // by the next heartbeat
	f.becomes(ids[0], "cancelled", 1)
	f.becomes(ids[1], "completed", 1)
	w.signal(t, syscall.SIGTERM)
	if code := w.ended(t); code != 0 {
		t.Errorf("exit code %d: %s", code, w.log)
	}
}

// When the task goes to nobody or to another worker, the command is stopped, and nothing of its attempt
// is reported.
func TestWorkLosesItsTask(t *testing.T) {
	t.Parallel()
	for method, params := range map[string]string{"task.unassign": `{"taskId":%q}`, "task.delete": `{"id":%q}`} {
		t.Run(method, func(t *testing.T) {
			t.Parallel()
			f, l := newWorkFleet(t), testenv.WatchLife(t)
			ids := f.create("x", "y")
			w := f.start("--grace", "1s", "--", "sh", "-c",
				`test "$CB_TASK_ID $CB_ATTEMPT" != "`+ids[0]+` 1" && exec echo "attempt $CB_ATTEMPT"; trap 'exit 0' TERM; `+l.Child+"wait")
			<-l.Begun
			f.call(method, fmt.Sprintf(params, ids[0]), nil)
			l.Ended(t) // by the next heartbeat
			w.logs(t, "the result of a task is not reported")
			if method == "task.unassign" {
				if task := f.becomes(ids[0], "completed", 2); string(task.Result) != `{"output":"attempt 2"}` {
					t.Errorf("%+v", task)
				}
			}
			f.becomes(ids[1], "completed", 1)
		})
	}
}

// The coordinator and Redis are killed while a command runs. The worker reports the result when they
// are back, and goes on.
func TestWorkOutlivesTheCoordinator(t *testing.T) {
	t.Parallel()
	redis := testenv.OwnRedis(t, devstack.RedisOptions{AppendOnly: true, Extra: []string{"appendfsync always"}})
	port, err := devstack.FreePort()
	if err != nil {
		t.Fatal(err)
	}
	serve := []string{"serve", "--listen", "127.0.0.1:" + strconv.Itoa(port), "--redis-url", redis.URL()}
	coordinator := launch(t, nil, serve...)
	f := workFleet{t, []string{"CB_URL=http://" + coordinator.address(t)}}
	l := testenv.WatchLife(t)
	wait, open := gate(t)
	id := f.create("first")[0]
	w := f.start("--", "sh", "-c", `test "$CB_TASK_TEXT" = first || exec echo next; `+l.Text+wait+"echo survived")
	<-l.Begun
	coordinator.signal(t, syscall.SIGKILL)
	coordinator.ended(t)
	if err := redis.Kill(); err != nil {
		t.Fatal(err)
	}
	open()
	l.Ended(t)
	if err := redis.Restart(t.Context()); err != nil {
		t.Fatal(err)
	}
	again := launch(t, nil, serve...)
	again.address(t)
	if task := f.becomes(id, "completed", 1); string(task.Result) != `{"output":"survived"}` {
		t.Errorf("%+v", task)
	}
	f.becomes(f.create("second")[0], "completed", 1)
	w.signal(t, syscall.SIGTERM)
	if code := w.ended(t); code != 0 {
		t.Errorf("exit code %d: %s", code, w.log)
	}
}
