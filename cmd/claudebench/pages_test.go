package main

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"reflect"
	"regexp"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/claudebench/claudebench/internal/testenv"
)

// example is a block of commands on a page, and the answers that the page shows after it.
type example struct {
	heading, commands string
	answers           []any
}

// examples returns the blocks of commands (```sh) of a page, each with the block of JSON after it. If
// a block shows an answer for each line, the lines are examples of their own, because later ones use
// ids that earlier ones show.
func examples(t *testing.T, page string) []example {
	t.Helper()
	text, err := os.ReadFile(filepath.Join("../../docs", page))
	if err != nil {
		t.Fatal(err)
	}
	var all []example
	heading := ""
	for _, m := range regexp.MustCompile("(?ms)^## ([^\n]+)$|^```(\\w*)\n(.*?)^```$").FindAllStringSubmatch(string(text), -1) {
		switch {
		case m[1] != "":
			heading = m[1]
		case m[2] == "sh":
			all = append(all, example{heading: heading, commands: m[3]})
		case m[2] == "json":
			last := all[len(all)-1]
			last.answers = values(m[3])
			lines := strings.SplitAfter(strings.TrimSuffix(last.commands, "\n"), "\n")
			switch len(last.answers) {
			case 0:
				t.Fatalf("%s shows no JSON under %q:\n%s", page, heading, m[3])
			case len(lines):
				all = all[:len(all)-1]
				for i, line := range lines {
					all = append(all, example{heading, line, last.answers[i : i+1]})
				}
			default:
				all[len(all)-1] = last
			}
		}
	}
	return all
}

// values returns the JSON values of a text, of which each begins on a line of its own.
func values(text string) []any {
	var all []any
	for d := json.NewDecoder(strings.NewReader(text)); ; {
		var v any
		if d.Decode(&v) != nil {
			return all
		}
		all = append(all, v)
	}
}

// pageReader is a shell in which a reader of a page runs its examples.
type pageReader struct {
	t       *testing.T
	shell   *child
	write   func(string)
	ran     int
	program string // what commands call in place of the program
	address string
	ids     map[string]string // of tasks, by the id that the page shows
}

func newPageReader(t *testing.T) *pageReader {
	t.Helper()
	env := []string{"CB_REDIS_URL=" + testenv.Redis(t).URL(), "CB_NAMESPACE=" + testenv.Namespace(t)}
	c := launch(t, append([]string{"CB_DATABASE_URL=" + testenv.Postgres(t)}, env...), "serve", "--listen", "127.0.0.1:0")
	r := &pageReader{t: t, address: c.address(t), ids: map[string]string{}}
	cmd, out, log := command(t, append(env, "CB_URL=http://"+r.address)), &screen{}, &screen{}
	r.program = "'" + cmd.Path + "'"
	cmd.Path, cmd.Args = "/bin/sh", []string{"sh"}
	cmd.Stdout, cmd.Stderr = out, log
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true} // so that the jobs of the shell can be ended too
	stdin, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	r.write = func(text string) {
		if _, err := stdin.Write([]byte(text)); err != nil {
			t.Fatal(err)
		}
	}
	r.shell = &child{testenv.Launch(t, cmd), out, log}
	t.Cleanup(func() { _ = syscall.Kill(-cmd.Process.Pid, syscall.SIGTERM) })
	return r
}

// run runs commands in the shell and returns what they print.
func (r *pageReader) run(commands string) string {
	r.t.Helper()
	r.ran++
	printed, done := filepath.Join(r.t.TempDir(), "out"), fmt.Sprintf("run %d: exit code ", r.ran)
	r.write(fmt.Sprintf("{\n%s\n} >'%s' 2>&1\necho '%s'$?.\n", commands, printed, done))
	r.shell.shows(r.t, done)
	text, err := os.ReadFile(printed) //nolint:gosec // a file of this test
	if err != nil {
		r.t.Fatal(err)
	}
	if !strings.Contains(r.shell.out.String(), done+"0.\n") {
		r.t.Fatalf("%s\nfails and prints\n%s", commands, text)
	}
	return string(text)
}

var (
	taskID = regexp.MustCompile(`\bt-\d+\b`)
	// reads matches a command that may be repeated until it prints what the page shows.
	reads = regexp.MustCompile(`^(rpc|go run ./cmd/claudebench call) (task\.get|task\.list|limit\.list) [^\n]*\n?$`)
)

// try runs an example and compares what it prints with what the page shows.
func (r *pageReader) try(e example) {
	r.t.Helper()
	commands := strings.NewReplacer("localhost:3000", r.address, "go run ./cmd/claudebench", r.program, "bin/claudebench", r.program).
		Replace(e.commands)
	commands = taskID.ReplaceAllStringFunc(commands, func(shown string) string {
		if r.ids[shown] == "" {
			r.t.Errorf("%q uses %s, which no answer has shown before", e.heading, shown)
		}
		return r.ids[shown]
	})
	if !reads.MatchString(e.commands) {
		if problem := r.compare(e, r.run(commands)); problem != "" {
			r.t.Fatal(problem)
		}
		return
	}
	testenv.Eventually(r.t, patience, func() (bool, string) {
		problem := r.compare(e, r.run(commands))
		return problem == "", problem
	})
}

// compare says where the last answers of an example are not as the page shows them.
func (r *pageReader) compare(e example, printed string) string {
	answers := values(printed)
	for i, a := range answers {
		envelope, ok := a.(map[string]any)
		if !ok || envelope["jsonrpc"] == nil {
			continue
		}
		answers[i] = envelope["result"]
		if failure := envelope["error"]; failure != nil {
			answers[i] = failure
			if e.answers == nil {
				return fmt.Sprintf("%q\n%s\nprints\n%s", e.heading, e.commands, printed)
			}
		}
	}
	if len(answers) < len(e.answers) {
		return fmt.Sprintf("%q\n%s\nprints only\n%s", e.heading, e.commands, printed)
	}
	answers = answers[len(answers)-len(e.answers):]
	for i, shown := range e.answers {
		if where := r.differs(shown, answers[i]); where != "" {
			return fmt.Sprintf("%q\n%s\nprints\n%s\nnot as shown: %s", e.heading, e.commands, printed, where)
		}
	}
	return ""
}

// differs says where a value is not as the page shows it, and "" if it is. The page may leave out
// members of objects. Ids of tasks and times differ.
func (r *pageReader) differs(shown, got any) string {
	switch shown := shown.(type) {
	case map[string]any:
		object, ok := got.(map[string]any)
		if !ok {
			return fmt.Sprintf("%v is no object", got)
		}
		for name, member := range shown {
			value, ok := object[name]
			if !ok {
				return "no " + name
			}
			if where := r.differs(member, value); where != "" {
				return name + ": " + where
			}
		}
		return ""
	case []any:
		list, ok := got.([]any)
		if !ok || len(list) != len(shown) {
			return fmt.Sprintf("%v are not %d", got, len(shown))
		}
		for i, one := range shown {
			if where := r.differs(one, list[i]); where != "" {
				return fmt.Sprintf("%d: %s", i, where)
			}
		}
		return ""
	case string:
		if text, ok := got.(string); ok && r.same(shown, text) {
			return ""
		}
	default:
		if reflect.DeepEqual(shown, got) {
			return ""
		}
	}
	return fmt.Sprintf("%#v instead of %#v", got, shown)
}

// same reports whether a string is as the page shows it. An id that the page shows for the first time
// stands for the one that was got. A time in 2099 is one that the example asks for.
func (r *pageReader) same(shown, got string) bool {
	if taskID.FindString(shown) == shown && shown != "" && r.ids[shown] == "" && taskID.FindString(got) == got {
		for _, other := range r.ids {
			if other == got {
				return false
			}
		}
		r.ids[shown] = got
	}
	if at, err := time.Parse(time.RFC3339, shown); err == nil && at.Year() < 2099 {
		_, err := time.Parse(time.RFC3339, got)
		return err == nil
	}
	return got == taskID.ReplaceAllStringFunc(shown, func(id string) string { return r.ids[id] })
}

// Each example of docs/tasks.md does what the page says, on a real coordinator.
func TestTheExamplesOfTasks(t *testing.T) {
	t.Parallel()
	all := examples(t, "tasks.md")
	if len(all) < 60 {
		t.Fatalf("docs/tasks.md has %d examples", len(all))
	}
	r := newPageReader(t)
	for _, e := range all {
		r.try(e)
	}
}

// The tutorial's pipeline and its task that fails do what the page says. Other tests do the same as
// the rest of the tutorial.
func TestTheExamplesOfTheTutorial(t *testing.T) {
	t.Parallel()
	all := examples(t, "tutorial.md")
	r := newPageReader(t)
	ran := map[string]int{}
	for _, e := range all {
		switch e.heading {
		case "2. Start three workers":
			e.commands = strings.Replace(e.commands, "make build\n", "", 1)
		case "6. Build a pipeline", "7. Let a task fail":
		default:
			continue
		}
		r.try(e)
		ran[e.heading]++
	}
	if want := map[string]int{"2. Start three workers": 1, "6. Build a pipeline": 2, "7. Let a task fail": 4}; !reflect.DeepEqual(ran, want) {
		t.Errorf("ran %v examples, want %v", ran, want)
	}
}

// Each example of docs/history.md ends with success, on a real coordinator.
func TestTheExamplesOfHistory(t *testing.T) {
	t.Parallel()
	all := examples(t, "history.md")
	if len(all) < 4 {
		t.Fatalf("docs/history.md has %d examples", len(all))
	}
	r := newPageReader(t)
	for _, e := range all {
		r.try(e)
	}
}
