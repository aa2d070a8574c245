package main

import (
	"bytes"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/creack/pty"

	"github.com/claudebench/claudebench/events"
	"github.com/claudebench/claudebench/internal/keys"
	"github.com/claudebench/claudebench/internal/testenv"
)

// replayed is a coordinator with tokens, and some events of two agents.
type replayed struct {
	url     string
	sources map[string][]string // where to read: arguments
	env     []string            // the token of an auditor
	agent   []string            // that of an agent
	space   keys.Space
}

func newReplayed(t *testing.T) *replayed {
	t.Helper()
	file, namespace := filepath.Join(t.TempDir(), "auth.yaml"), testenv.Namespace(t)
	secret := map[string]string{}
	for _, role := range []string{"agent", "auditor", "operator"} {
		secret[role] = newTokenOf(t, file, "--name", "the-"+role, "--role", role)
	}
	store := []string{"--redis-url", testenv.Redis(t).URL(), "--namespace", namespace}
	c := launch(t, nil, append([]string{"serve", "--listen", "127.0.0.1:0", "--auth-file", file}, store...)...)
	r := &replayed{
		url: c.address(t), env: []string{"CB_TOKEN=" + secret["auditor"]}, agent: []string{"CB_TOKEN=" + secret["agent"]},
	}
	r.sources = map[string][]string{"Redis": store, "a coordinator": {"--url", r.url}}
	var err error
	if r.space, err = keys.New(namespace); err != nil {
		t.Fatal(err)
	}
	for _, c := range [][2]string{
		{"system.register", `{"id":"w","roles":["worker"]}`},
		{"task.create", `{"text":"one"}`},
		{"task.create", `{"text":"two\n2"}`},
		{"task.claim", `{"workerId":"w"}`},
		{"task.complete", `{"id":"t-3"}`},
	} {
		r.do(t, c[0], c[1])
	}
	if got := execute(t, []string{"CB_TOKEN=" + secret["operator"]}, "call", "--url", r.url, "task.create", `{"text":"by another"}`); got.code != 0 {
		t.Fatalf("%+v", got)
	}
	return r
}

func (r *replayed) do(t *testing.T, method, params string) {
	t.Helper()
	if got := execute(t, r.agent, "call", "--url", r.url, method, params); got.code != 0 {
		t.Fatalf("%s: %+v", method, got)
	}
}

// run replays from everywhere, and returns what each prints, which must be the same.
func (r *replayed) run(t *testing.T, args ...string) result {
	t.Helper()
	var all []result
	for name, source := range r.sources {
		got := execute(t, r.env, append(append([]string{"replay"}, source...), args...)...)
		if got.code != 0 {
			t.Fatalf("%v from %s: %+v", args, name, got)
		}
		all = append(all, got)
	}
	if all[0].out != all[1].out {
		t.Errorf("%v:\n%s\nis not\n%s", args, all[0].out, all[1].out)
	}
	return all[0]
}

func TestReplay(t *testing.T) {
	t.Parallel()
	r := newReplayed(t)
	stored := r.run(t).out
	var ids []string
	for line := range strings.Lines(stored) {
		ids = append(ids, decodeEvent(t, line).ID.String())
	}
	claim := findEvent(t, stored, "task.claimed")
	for args, want := range map[string]string{
		"":                                     "instance.registered leader.elected task.created task.created task.claimed task.completed task.created",
		"--types task.*":                       "task.created task.created task.claimed task.completed task.created",
		"--task t-3":                           "task.created task.claimed task.completed",
		"--task t-3 --instance w":              "task.claimed task.completed",
		"--instance w --types leader.*":        "leader.elected",
		"--actor the-operator":                 "task.created",
		"--actor the":                          "",
		"--actor " + claim.Actor:               "task.claimed", // with others of the same actor, see below
		"--cause " + *claim.Cause:              "task.claimed",
		"--from " + ids[2] + " --to " + ids[4]: "task.created task.created task.claimed",
		"--to 2000-01-01T00:00:00Z":            "",
		"--from 2100-01-01T00:00:00Z":          "",
	} {
		got := r.run(t, strings.Fields(args)...)
		var types []string
		for line := range strings.Lines(got.out) {
			types = append(types, string(decodeEvent(t, line).Type))
		}
		text := strings.Join(types, " ")
		if strings.HasPrefix(args, "--actor "+claim.Actor) {
			if !strings.Contains(text, want) || strings.Contains(got.out, "by another") {
				t.Errorf("%s: %s", args, text)
			}
			continue
		}
		if text != want || !strings.HasPrefix(got.log, fmt.Sprintf("%d events", len(types))) {
			t.Errorf("%s: %s; %s", args, text, got.log)
		}
	}
	table := r.run(t, "--format", "table", "--types", "task.created").out
	if n := strings.Count(table, "\n"); n != 3 || !regexp.MustCompile(`(?m)^\d{4}-\d\d-\d\d \d\d:\d\d:\d\d\.\d{3}  task\.created +the-agent.* id=t-3 .*text=one`).MatchString(table) {
		t.Errorf("table:\n%s", table)
	}
	clouds := r.run(t, "--format", "cloudevents", "--types", "task.*").out
	served := execute(t, r.env, "replay", "--url", r.url, "--types", "task.*", "--format", "jsonl").out
	if strings.Count(clouds, "\n") != strings.Count(served, "\n") || !strings.Contains(clouds, `"source":"/claudebench/`+r.space.Namespace()+`"`) ||
		!strings.Contains(clouds, `"type":"io.github.claudebench.task.claimed"`) || !strings.Contains(clouds, `"subject":"t-3"`) {
		t.Errorf("cloudevents:\n%s", clouds)
	}

	// The beginning of the log is gone.
	admin := testenv.Client(t)
	if err := admin.HSet(t.Context(), r.space.Log(), "base", 3).Err(); err != nil {
		t.Fatal(err)
	}
	if err := admin.XTrimMinID(t.Context(), r.space.Events(), ids[2]).Err(); err != nil {
		t.Fatal(err)
	}
	for name, source := range r.sources {
		got := execute(t, r.env, append([]string{"replay"}, source...)...)
		if got.code != 0 || !strings.HasPrefix(got.log, "events 1 to 2 are gone: trimmed\n5 events") || strings.Count(got.out, "\n") != 5 {
			t.Errorf("from %s: %+v", name, got)
		}
	}
	for name, env := range map[string][]string{"no token": nil, "a wrong token": {"CB_TOKEN=cb_wrong"}} {
		if got := execute(t, env, "replay", "--url", r.url); got.code != exitFailed || !strings.Contains(got.log, "401") {
			t.Errorf("%s: %+v", name, got)
		}
	}
	// CB_URL counts if nothing names a Redis.
	if got := execute(t, append([]string{"CB_URL=" + r.url}, r.env...), "replay"); got.code != 0 || strings.Count(got.out, "\n") != 5 {
		t.Errorf("CB_URL: %+v", got)
	}
}

func decodeEvent(t *testing.T, line string) events.Envelope {
	t.Helper()
	e, err := events.Decode([]byte(strings.TrimSuffix(line, "\n")))
	if err != nil {
		t.Fatalf("%v: %s", err, line)
	}
	return e
}

func findEvent(t *testing.T, out, typ string) events.Envelope {
	t.Helper()
	for line := range strings.Lines(out) {
		e := decodeEvent(t, line)
		if string(e.Type) == typ && e.Cause != nil {
			return e
		}
	}
	t.Fatalf("no %s in\n%s", typ, out)
	return events.Envelope{}
}

func TestReplayFollow(t *testing.T) {
	t.Parallel()
	r := newReplayed(t)
	var all []*child
	for _, source := range r.sources {
		c := launch(t, r.env, append(append([]string{"replay", "--follow", "--types", "task.*"}, source...), "--from", "2000-01-01T00:00:00Z")...)
		c.shows(t, "by another")
		all = append(all, c)
	}
	r.do(t, "task.create", `{"text":"later"}`)
	for _, c := range all {
		c.shows(t, "later")
		if n := len(c.out.lines()); n != 6 {
			t.Errorf("%d events:\n%s", n, c.out)
		}
		c.signal(t, os.Interrupt)
		if code := c.ended(t); code != 0 || !strings.Contains(c.log.String(), "6 events") {
			t.Errorf("after Ctrl-C: exit code %d\n%s", code, c.log)
		}
	}
}

// The progress is on standard error if that is a terminal, and nothing of it is in the output.
func TestReplayShowsItsProgress(t *testing.T) {
	t.Parallel()
	r := newReplayed(t)
	for name, source := range r.sources {
		for _, toTerminal := range []bool{false, true} {
			shown, tty, err := pty.Open()
			if err != nil {
				t.Fatal(err)
			}
			screen := &testenv.Screen{}
			read := make(chan struct{})
			go func() {
				defer close(read)
				_, _ = io.Copy(screen, shown) // until nobody has the terminal, which is an error on Linux
			}()
			var out bytes.Buffer
			cmd := command(t, r.env, append([]string{"replay"}, source...)...)
			cmd.Stdout, cmd.Stderr = &out, tty
			if toTerminal {
				cmd.Stdout = tty
			}
			mustRun(t, cmd)
			_ = tty.Close()
			<-read
			_ = shown.Close()
			const bar = "\r\x1b[K[##############################] 100 %  7 of 7 events\r\x1b[K7 events"
			if got := screen.String(); strings.Contains(got, bar) == toTerminal || toTerminal && strings.Contains(got, "\x1b") {
				t.Errorf("from %s, to a terminal %v: %q", name, toTerminal, got)
			}
			if n := strings.Count(out.String(), "\n"); !toTerminal && n != 7 || strings.Contains(out.String(), "\x1b") {
				t.Errorf("from %s: %d lines: %s", name, n, out.String())
			}
		}
	}
}

// mustRun runs a command to its end, which must be a good one.
func mustRun(t *testing.T, cmd *exec.Cmd) {
	t.Helper()
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	late := time.AfterFunc(time.Minute, func() { _ = cmd.Process.Kill() })
	defer late.Stop()
	if err := cmd.Wait(); err != nil {
		t.Error(err)
	}
}
