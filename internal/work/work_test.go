package work

import (
	"bytes"
	"context"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/claudebench/claudebench/internal/process"
)

// bench is a program with what it has shown.
type bench struct {
	*Program
	out, err bytes.Buffer
	warnings []string
}

func program(t *testing.T, o Options) *bench {
	t.Helper()
	b := &bench{}
	o.Concurrency, o.Stdout, o.Stderr = 1, &b.out, &b.err
	if o.Grace == 0 {
		o.Grace = time.Minute
	}
	o.Warn = func(task, text string) { b.warnings = append(b.warnings, task+": "+text) }
	var err error
	if b.Program, err = New(o); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := b.Close(); err != nil {
			t.Error(err)
		}
	})
	return b
}

func script(text string, args ...string) []string {
	return append([]string{"sh", "-c", text, "sh"}, args...)
}

var task = Task{ID: "t-7", Text: `$(touch pwned) "{id}" *` + "\x00", Attempt: 2, JSON: []byte(`{"id":"t-7"}`)}

// A task reaches the command by its arguments, its environment and its input, and no shell reads
// it.
func TestDo(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	p := program(t, Options{
		Command: script(`printf '%s\n' "$@" "$CB_TASK_ID $CB_TASK_TEXT $CB_ATTEMPT $CB_URL $PWD"; cat`, "{text}", "a{id}b{id}", "{other}"),
		Dir:     dir, Env: []string{"CB_URL=http://x"},
	})
	got, err := p.Do(t.Context(), task)
	if err != nil || got.Error != nil {
		t.Fatal(got, err)
	}
	here, err := filepath.EvalSymlinks(dir)
	if err != nil {
		t.Fatal(err)
	}
	text := `$(touch pwned) "{id}" *` + "\ufffd"
	shown := text + "\nat-7bt-7\n{other}\nt-7 " + text + " 2 http://x " + here + "\n" + `{"id":"t-7"}`
	if want := `{"output":` + string(quoted(t, shown)) + `}`; string(got.Result) != want {
		t.Errorf("the result is %s, want %s", got.Result, want)
	}
	if files, err := os.ReadDir(dir); err != nil || len(files) > 0 {
		t.Errorf("the text was run: %v, %v", files, err)
	}
	if want := "t-7: " + strings.ReplaceAll(shown, "\n", "\nt-7: ") + "\n"; p.out.String() != want {
		t.Errorf("shown %q, want %q", &p.out, want)
	}
}

func TestDoFails(t *testing.T) {
	t.Parallel()
	p := program(t, Options{Command: script(`echo out; seq 3000 >&2; exit 4`)})
	got, err := p.Do(t.Context(), task)
	if err != nil || got.Result != nil || got.Error == nil || *got.Error.ExitCode != 4 {
		t.Fatal(got, err)
	}
	if tail := got.Error.Stderr; len(tail) != maxStderr || !strings.HasSuffix(tail, "\n2999\n3000\n") {
		t.Errorf("the error has %d bytes of standard error: %s", len(tail), tail)
	}
	if !strings.HasPrefix(p.err.String(), "t-7: 1\nt-7: 2\n") || p.out.String() != "t-7: out\n" {
		t.Errorf("shown %q, %q", &p.out, &p.err)
	}
}

func TestTimeout(t *testing.T) {
	t.Parallel()
	p := program(t, Options{Command: script(`echo waiting >&2; sleep 600 & wait`), Timeout: 200 * time.Millisecond})
	got, err := p.Do(t.Context(), task)
	if err != nil || got.Error == nil || got.Error.TimeoutMs != 200 || got.Error.Signal != "SIGTERM" || got.Error.Stderr != "waiting\n" {
		t.Errorf("%+v, %v", got.Error, err)
	}
}

// What ends with the context has no outcome, also if it exits with 0.
func TestDoIsStopped(t *testing.T) {
	t.Parallel()
	p := program(t, Options{Command: script(`trap 'exit 0' TERM; sleep 600 & wait`)})
	cause := errors.New("the lease is lost")
	ctx, cancel := context.WithCancelCause(t.Context())
	cancel(cause)
	got, err := p.Do(ctx, task)
	if !errors.Is(err, cause) || got.Result != nil || got.Error != nil {
		t.Errorf("%+v, %v", got, err)
	}
}

func TestCommandsThatCannotBeFoundOrStarted(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	bare, plain := filepath.Join(dir, "bare"), filepath.Join(dir, "plain")
	for path, mode := range map[string]os.FileMode{bare: 0o700, plain: 0o600} {
		if err := os.WriteFile(path, []byte("echo\n"), mode); err != nil {
			t.Fatal(err)
		}
	}
	for want, o := range map[string]Options{
		"not found":           {Command: []string{"no-such-program"}},
		"no such file":        {Command: []string{"./none"}, Dir: dir},
		"permission denied":   {Command: []string{plain}},
		"working directory":   {Command: []string{"sh"}, Dir: bare},
		"the working":         {Command: []string{"sh"}, Dir: filepath.Join(dir, "none")},
		"make the log folder": {Command: []string{"sh"}, LogDir: filepath.Join(bare, "logs")},
	} {
		if _, err := New(o); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%v: %v, want %q in it", o.Command, err, want)
		}
	}
	var start *process.StartError
	if got, err := program(t, Options{Command: []string{"./bare"}, Dir: dir}).Do(t.Context(), task); !errors.As(err, &start) {
		t.Errorf("%+v, %v", got, err)
	}
}

// Each attempt has a log with both outputs as they are.
func TestLogs(t *testing.T) {
	t.Parallel()
	dir := filepath.Join(t.TempDir(), "new", "logs")
	p := program(t, Options{Command: script(`printf 'a\033\377'; echo b >&2`), LogDir: dir})
	again := task
	again.Attempt++
	hostile := Task{ID: "../t-8", Attempt: 1}
	for _, given := range []Task{task, again, hostile} {
		if got, err := p.Do(t.Context(), given); err != nil || got.Error != nil {
			t.Fatal(got, err)
		}
	}
	for _, name := range []string{"t-7.2.log", "t-7.3.log"} {
		text, err := os.ReadFile(filepath.Join(dir, name))
		if err != nil || string(text) != "a\x1b\xffb\n" && string(text) != "b\na\x1b\xff" {
			t.Errorf("%s has %q, %v", name, text, err)
		}
		if info, err := os.Stat(filepath.Join(dir, name)); err != nil || info.Mode().Perm() != 0o600 {
			t.Errorf("%s: %v, %v", name, info, err)
		}
	}
	if len(p.warnings) != 1 || !strings.HasPrefix(p.warnings[0], "../t-8: the log is incomplete: ") {
		t.Errorf("warned %q", p.warnings)
	}
	if files, err := os.ReadDir(filepath.Dir(dir)); err != nil || len(files) != 1 {
		t.Errorf("written outside of the folder: %v, %v", files, err)
	}
}
