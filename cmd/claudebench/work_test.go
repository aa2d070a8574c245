package main

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/claudebench/claudebench/internal/testenv"
)

// workFleet is a coordinator for workers.
type workFleet struct {
	t   *testing.T
	env []string
}

func newWorkFleet(t *testing.T) workFleet {
	t.Helper()
	c := launch(t, nil, "serve", "--listen", "127.0.0.1:0", "--redis-url", testenv.Redis(t).URL(), "--namespace", testenv.Namespace(t))
	return workFleet{t, []string{"CB_URL=http://" + c.address(t)}}
}

// call makes a call, which must succeed, and decodes its result.
func (f workFleet) call(method, params string, result any) {
	f.t.Helper()
	r := execute(f.t, f.env, "call", method, params)
	if r.code != 0 {
		f.t.Fatalf("%s: %+v", method, r)
	}
	if result != nil {
		if err := json.Unmarshal([]byte(r.out), result); err != nil {
			f.t.Fatal(err)
		}
	}
}

// create creates tasks with these texts and returns their ids.
func (f workFleet) create(texts ...string) []string {
	f.t.Helper()
	var ids []string
	for _, text := range texts {
		params, err := json.Marshal(map[string]string{"text": text})
		if err != nil {
			f.t.Fatal(err)
		}
		var made struct{ ID string }
		f.call("task.create", string(params), &made)
		ids = append(ids, made.ID)
	}
	return ids
}

// workTask is what tests look at.
type workTask struct {
	Status     string
	Attempt    int
	AssignedTo *string
	Result     json.RawMessage
	Progress   *struct{ Percent float64 }
	Error      *struct {
		Message, Signal, Stderr string
		ExitCode                *int
		TimeoutMs               int
	}
}

func (f workFleet) get(id string) (task workTask) {
	f.t.Helper()
	f.call("task.get", fmt.Sprintf(`{"id":%q}`, id), &task)
	return task
}

// becomes waits until a task has a status and an attempt.
func (f workFleet) becomes(id, status string, attempt int) (task workTask) {
	f.t.Helper()
	testenv.Eventually(f.t, patience, func() (bool, string) {
		task = f.get(id)
		return task.Status == status && task.Attempt == attempt, fmt.Sprintf("%+v", task)
	})
	return task
}

// work runs the worker until it ends.
func (f workFleet) work(args ...string) result {
	f.t.Helper()
	return execute(f.t, f.env, append([]string{"work"}, args...)...)
}

// start starts the worker.
func (f workFleet) start(args ...string) *child {
	f.t.Helper()
	return launch(f.t, f.env, append([]string{"work"}, args...)...)
}

// logs waits until the program has logged a text.
func (c *child) logs(t *testing.T, text string) {
	t.Helper()
	testenv.Eventually(t, patience, func() (bool, string) { return strings.Contains(c.log.String(), text), c.log.String() })
}

// A task reaches the command by its arguments, its environment and its input, and its output becomes
// the result.
func TestWork(t *testing.T) {
	t.Parallel()
	f := newWorkFleet(t)
	const hostile = `$(touch pwned); "quoted" *`
	ids := f.create(hostile, "two words")
	dir := t.TempDir()
	logs := filepath.Join(dir, "logs")
	r := f.work("--until-empty", "--id", "w-1", "--cwd", dir, "--log-dir", logs, "--",
		"sh", "-c", `echo "$CB_TASK_ID|$CB_TASK_TEXT|$CB_ATTEMPT|$CB_URL|$CB_INSTANCE|$1|$2|$PWD"; cat; echo noise >&2`, "sh", "{text}", "<{id}>")
	if r.code != 0 {
		t.Fatalf("%+v", r)
	}
	here, err := filepath.EvalSymlinks(dir)
	if err != nil {
		t.Fatal(err)
	}
	for i, text := range []string{hostile, "two words"} {
		var got struct{ Output string }
		task := f.get(ids[i])
		if err := json.Unmarshal(task.Result, &got); err != nil || task.Status != "completed" || task.Attempt != 1 || *task.AssignedTo != "w-1" {
			t.Fatalf("%+v, %v", task, err)
		}
		line, input, _ := strings.Cut(got.Output, "\n")
		want := fmt.Sprintf("%s|%s|1|%s|w-1|%s|<%s>|%s", ids[i], text, strings.TrimPrefix(f.env[0], "CB_URL="), text, ids[i], here)
		if line != want {
			t.Errorf("printed %q, want %q", line, want)
		}
		var given struct {
			ID, Text, Status string
			Attempt          int
		}
		if err := json.Unmarshal([]byte(input), &given); err != nil || given.ID != ids[i] || given.Text != text || given.Attempt != 1 {
			t.Errorf("the input was %q, %v", input, err)
		}
		if !strings.Contains(r.out, ids[i]+": "+want+"\n") || !strings.Contains(r.log, ids[i]+": noise\n") {
			t.Errorf("shown %s\n%s", r.out, r.log)
		}
		if text, err := os.ReadFile(filepath.Join(logs, ids[i]+".1.log")); err != nil || !strings.Contains(string(text), want) || !strings.Contains(string(text), "noise\n") {
			t.Errorf("the log has %q, %v", text, err)
		}
	}
	if files, err := os.ReadDir(dir); err != nil || len(files) != 1 {
		t.Errorf("a text was run as a command: %v, %v", files, err)
	}
}

// A command may call the coordinator with the program itself.
func TestWorkCallsBack(t *testing.T) {
	t.Parallel()
	f := newWorkFleet(t)
	id := f.create("parent")[0]
	if r := f.work("--once", "--", os.Args[0], "call", "task.create", `{"text":"child of {id}"}`); r.code != 0 {
		t.Fatalf("%+v", r)
	}
	var made struct{ ID, Text string }
	if err := json.Unmarshal(f.get(id).Result, &made); err != nil || made.Text != "child of "+id {
		t.Errorf("%+v, %v", made, err)
	}
	if task := f.get(made.ID); task.Status != "pending" { // --once leaves it alone
		t.Errorf("%+v", task)
	}
}

func TestWorkFails(t *testing.T) {
	t.Parallel()
	f := newWorkFleet(t)
	ids := f.create("exit", "signal", "hang", "fine")
	r := f.work("--until-empty", "--timeout", "1s", "--", "sh", "-c",
		`case $1 in exit) echo why >&2; exit 3;; signal) kill -KILL $$;; hang) sleep 600;; esac`, "sh", "{text}")
	if r.code != exitFailed || !strings.Contains(r.log, "3 of 4 tasks failed") {
		t.Errorf("%+v", r)
	}
	for i, want := range []string{"exit code 3", "ended by signal 9 (killed)", "timeout after 1s"} {
		if task := f.get(ids[i]); task.Status != "failed" || task.Error == nil || task.Error.Message != want {
			t.Errorf("%+v, want %s", task.Error, want)
		}
	}
	if e := f.get(ids[0]).Error; e.ExitCode == nil || *e.ExitCode != 3 || e.Stderr != "why\n" || e.Signal != "" {
		t.Errorf("%+v", e)
	}
	if e := f.get(ids[2]).Error; e.TimeoutMs != 1000 || e.Signal != "SIGTERM" || e.ExitCode != nil {
		t.Errorf("%+v", e)
	}
	if task := f.get(ids[3]); task.Status != "completed" || string(task.Result) != `{"output":""}` {
		t.Errorf("%+v", task)
	}
}

// A command that fails for every task does not use up all tasks.
func TestWorkEndsAfterFailuresInARow(t *testing.T) {
	t.Parallel()
	f := newWorkFleet(t)
	ids := f.create("bad", "good", "bad", "bad", "bad")
	r := f.work("--max-failures", "2", "--", "sh", "-c", `test "$CB_TASK_TEXT" = good`)
	if r.code != exitFailed || !strings.Contains(r.log, "2 tasks in a row failed") {
		t.Errorf("%+v", r)
	}
	for i, want := range []string{"failed", "completed", "failed", "failed", "pending"} {
		if task := f.get(ids[i]); task.Status != want {
			t.Errorf("task %d: %+v, want %s", i, task, want)
		}
	}
}

// A command that cannot be started fails no task.
func TestWorkCannotStart(t *testing.T) {
	t.Parallel()
	f := newWorkFleet(t)
	ids := f.create("one", "two")
	bare := filepath.Join(t.TempDir(), "bare")
	if err := os.WriteFile(bare, []byte("echo no interpreter\n"), 0o700); err != nil { //nolint:gosec // it must be executable
		t.Fatal(err)
	}
	r := f.work("--", bare)
	if r.code != exitFailed || !strings.Contains(r.log, "#!/bin/sh") {
		t.Errorf("%+v", r)
	}
	for i, attempt := range []int{1, 0} {
		if task := f.get(ids[i]); task.Status != "pending" || task.Attempt != attempt {
			t.Errorf("%+v", task)
		}
	}
}

func TestWorkUsage(t *testing.T) {
	t.Parallel()
	f := newWorkFleet(t)
	id := f.create("left alone")[0]
	for want, args := range map[string][]string{
		"needs a COMMAND":        {},
		"executable file":        {"--", "no-such-program"},
		"--concurrency is 0":     {"--concurrency", "0", "true"},
		"--timeout is -1s":       {"--timeout", "-1s", "true"},
		"--grace is":             {"--grace", "-1s", "true"},
		"--max-failures is":      {"--max-failures", "-1", "true"},
		"--roles is empty":       {"--roles", "", "true"},
		"working directory":      {"--cwd", "/no/such/folder", "true"},
		"log folder":             {"--log-dir", "/dev/null/logs", "true"},
		"[concurrency once]":     {"--once", "--concurrency", "2", "true"},
		"unknown flag: --rolles": {"--rolles", "x", "--", "true"},
	} {
		if r := f.work(args...); r.code != exitUsage || !strings.Contains(r.log, want) {
			t.Errorf("%v: %+v, want %q in it", args, r, want)
		}
	}
	if r := execute(t, []string{"CB_URL=http://127.0.0.1:1"}, "work", "--once", "true"); r.code != exitUnavailable || !strings.Contains(r.log, "claudebench up") {
		t.Errorf("without a coordinator: %+v", r)
	}
	if task := f.get(id); task.Attempt != 0 {
		t.Errorf("%+v", task)
	}
}

// A worker takes the tasks of its roles only, and --until-empty ends when there are no more of them.
func TestWorkRoles(t *testing.T) {
	t.Parallel()
	f := newWorkFleet(t)
	var special struct{ ID string }
	f.call("task.create", `{"text":"special","metadata":{"roles":["gpu"]}}`, &special)
	ids := f.create("plain")
	if r := f.work("--until-empty", "--concurrency", "3", "true"); r.code != 0 {
		t.Fatalf("%+v", r)
	}
	if task := f.get(ids[0]); task.Status != "completed" {
		t.Errorf("%+v", task)
	}
	if task := f.get(special.ID); task.Status != "pending" {
		t.Errorf("%+v", task)
	}
	if r := f.work("--until-empty", "--roles", "worker,gpu", "true"); r.code != 0 {
		t.Fatalf("%+v", r)
	}
	if task := f.get(special.ID); task.Status != "completed" {
		t.Errorf("%+v", task)
	}
}

// Terminals get the output of commands escaped.
func TestWorkOnATerminal(t *testing.T) {
	t.Parallel()
	f := newWorkFleet(t)
	id := f.create("x")[0]
	shown := onTerminal(t, command(t, f.env, "work", "--once", "--", "sh", "-c", `printf 'a\033[31m\302\233b\rc\377\n'`), "unregistered")
	if !strings.Contains(shown, id+`: a\u001b[31m\u009bb\u000dc`) || strings.ContainsAny(shown, "\x1b\u009b") {
		t.Errorf("shown %q", shown)
	}
}

// A command says how far it is by a call in the name of its worker.
func TestWorkSaysHowFarItIs(t *testing.T) {
	t.Parallel()
	f := newWorkFleet(t)
	id := f.create("x")[0]
	program, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	r := f.work("--once", "--", "sh", "-c",
		`"$0" call task.progress "{\"id\":\"$CB_TASK_ID\",\"workerId\":\"$CB_INSTANCE\",\"attempt\":$CB_ATTEMPT,\"percent\":40}"`, program)
	var answer struct{ CancelRequested *bool }
	task := f.get(id)
	if err := json.Unmarshal(task.Result, &answer); r.code != 0 || err != nil || answer.CancelRequested == nil || *answer.CancelRequested {
		t.Fatalf("%+v, %s, %v", r, task.Result, err)
	}
	if task.Progress == nil || task.Progress.Percent != 40 {
		t.Errorf("the progress is %+v", task.Progress)
	}
}
