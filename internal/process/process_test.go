package process

import (
	"bytes"
	"context"
	"errors"
	"io"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/claudebench/claudebench/internal/testenv"
)

const patience = 30 * time.Second

func runner(t *testing.T) *Runner {
	t.Helper()
	r, err := NewRunner(4)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := r.Close(); err != nil {
			t.Error(err)
		}
	})
	return r
}

// script is a command for /bin/sh with generous bounds.
func script(text string, args ...string) Command {
	return Command{
		Path: "/bin/sh", Args: append([]string{"-c", text, "sh"}, args...), Env: os.Environ(),
		KeepStdout: 1 << 10, KeepStderr: 1 << 10, Grace: patience,
	}
}

// ran is what Run has returned.
type ran struct {
	Result
	err error
}

// begin runs a command. The channel receives its result.
func begin(ctx context.Context, r *Runner, c Command) <-chan ran {
	done := make(chan ran, 1)
	go func() {
		result, err := r.Run(ctx, c)
		done <- ran{result, err}
	}()
	return done
}

// ended waits for a result.
func ended(t *testing.T, done <-chan ran) Result {
	t.Helper()
	select {
	case r := <-done:
		if r.err != nil {
			t.Fatal(r.err)
		}
		return r.Result
	case <-time.After(patience):
		t.Fatal("the command does not end")
	}
	return Result{}
}

func run(t *testing.T, c Command) Result {
	t.Helper()
	return ended(t, begin(t.Context(), runner(t), c))
}

func TestRun(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	var stdout, stderr bytes.Buffer
	c := script(`cat; pwd; echo "$GIVEN $1"; echo wrong >&2; exit 3`, "$(argument) *")
	c.Dir, c.Env = dir, []string{"PATH=" + os.Getenv("PATH"), "GIVEN=first", "GIVEN=last"}
	c.Stdin, c.Stdout, c.Stderr = []byte("input\n"), &stdout, &stderr
	got := run(t, c)
	here, err := filepath.EvalSymlinks(dir)
	if err != nil {
		t.Fatal(err)
	}
	if want := "input\n" + here + "\nlast $(argument) *\n"; string(got.Stdout) != want || stdout.String() != want || got.StdoutBytes != int64(len(want)) {
		t.Errorf("printed %q, passed on %q, %d bytes", got.Stdout, &stdout, got.StdoutBytes)
	}
	if got.Code != 3 || got.Signal != 0 || got.Stopped != nil || string(got.Stderr) != "wrong\n" || stderr.String() != "wrong\n" {
		t.Errorf("%+v, %q", got, &stderr)
	}
}

// A command that does not read its input neither fails nor blocks.
func TestInputThatIsNotRead(t *testing.T) {
	t.Parallel()
	c := script("exit 0")
	c.Stdin = make([]byte, 1<<20)
	if got := run(t, c); got.Code != 0 || got.Signal != 0 {
		t.Errorf("%+v", got)
	}
}

func TestASignalEndsTheCommand(t *testing.T) {
	t.Parallel()
	if got := run(t, script("kill -SEGV $$")); got.Code != -1 || got.Signal != syscall.SIGSEGV || got.Stopped != nil {
		t.Errorf("%+v", got)
	}
}

func TestStartErrors(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	file := func(name, text string, mode os.FileMode) string {
		t.Helper()
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, []byte(text), mode); err != nil {
			t.Fatal(err)
		}
		return path
	}
	for want, c := range map[string]Command{
		"no such file":      {Path: filepath.Join(dir, "none")},
		"chmod +x":          {Path: file("plain", "#!/bin/sh\n", 0o600)},
		"#!/bin/sh":         {Path: file("bare", "echo\n", 0o700)},
		"interpreter":       {Path: file("odd", "#!/no/such/program\n", 0o700)},
		"--cwd":             {Path: "/bin/sh", Dir: filepath.Join(dir, "none")},
		"argument list too": {Path: "/bin/sh", Args: []string{strings.Repeat("x", 4<<20)}},
		"invalid argument":  {Path: "/bin/sh", Args: []string{"a\x00b"}},
	} {
		_, err := runner(t).Run(t.Context(), c)
		var start *StartError
		if !errors.As(err, &start) || start.Path != c.Path || !strings.Contains(err.Error(), want) {
			t.Errorf("%v, want %q in it", err, want)
		}
	}
}

// When the context ends, all processes of the group get SIGTERM and may finish.
func TestStop(t *testing.T) {
	t.Parallel()
	l := testenv.WatchLife(t)
	ctx, cancel := context.WithCancelCause(t.Context())
	// The subshell outlives its parent, which the signal ends at once.
	done := begin(ctx, runner(t), script(`(trap 'echo cleaned; exit' TERM; `+l.Child+`wait) & wait`))
	<-l.Begun
	cause := errors.New("the lease is lost")
	cancel(cause)
	got := ended(t, done)
	if !errors.Is(got.Stopped, cause) || got.Signal != syscall.SIGTERM || string(got.Stdout) != "cleaned\n" {
		t.Errorf("%+v, printed %q", got, got.Stdout)
	}
	l.Ended(t)
}

// A command that exits in its own way after SIGTERM keeps its exit code.
func TestStopWithAnExitCode(t *testing.T) {
	t.Parallel()
	l := testenv.WatchLife(t)
	ctx, cancel := context.WithCancel(t.Context())
	done := begin(ctx, runner(t), script(`trap 'exit 7' TERM; `+l.Child+`wait`))
	<-l.Begun
	cancel()
	if got := ended(t, done); !errors.Is(got.Stopped, context.Canceled) || got.Code != 7 {
		t.Errorf("%+v", got)
	}
	l.Ended(t)
}

func TestACommandThatIgnoresSIGTERMIsKilled(t *testing.T) {
	t.Parallel()
	l := testenv.WatchLife(t)
	ctx, cancel := context.WithCancel(t.Context())
	c := script(`trap '' TERM; ` + l.Child + `sleep 600`)
	c.Grace = 100 * time.Millisecond
	done := begin(ctx, runner(t), c)
	<-l.Begun
	began := time.Now()
	cancel()
	if got := ended(t, done); got.Stopped == nil || got.Signal != syscall.SIGKILL || time.Since(began) < c.Grace {
		t.Errorf("%+v after %v", got, time.Since(began))
	}
	l.Ended(t)
}

func TestKill(t *testing.T) {
	t.Parallel()
	for _, stopped := range []bool{false, true} {
		l, r := testenv.WatchLife(t), runner(t)
		ctx, cancel := context.WithCancelCause(t.Context())
		done := begin(ctx, r, script(`trap '' TERM; `+l.Child+`wait`))
		<-l.Begun
		cause := errors.New("stop")
		if stopped {
			cancel(cause)
		}
		r.Kill()
		if got := ended(t, done); got.Signal != syscall.SIGKILL || got.Stopped == nil || stopped != errors.Is(got.Stopped, cause) {
			t.Errorf("%+v", got)
		}
		l.Ended(t)
		cancel(nil)
	}
}

// A process that the command leaves behind is killed, whether it holds the output open or not, and
// the command's own outcome counts.
func TestProcessesLeftBehindAreKilled(t *testing.T) {
	t.Parallel()
	for _, output := range []string{"", " >/dev/null 2>&1"} {
		l := testenv.WatchLife(t)
		if got := run(t, script(l.Text+`sleep 600`+output+` & echo done`)); got.Code != 0 || got.Stopped != nil || string(got.Stdout) != "done\n" {
			t.Errorf("%+v, %q", got, got.Stdout)
		}
		l.Ended(t)
	}
}

// A process that has left the group lives on, and does not hold up the result.
func TestAProcessThatLeavesTheGroup(t *testing.T) {
	t.Parallel()
	l, left := testenv.WatchLife(t), filepath.Join(t.TempDir(), "left")
	if err := syscall.Mkfifo(left, 0o600); err != nil {
		t.Fatal(err)
	}
	got := run(t, script(`setsid sh -c "$1" sh "$2" & read -r line <"$2"; echo "$line"`, l.Text+`echo left >"$1"; exec sleep 600`, left))
	if got.Code != 0 || got.Stopped != nil || string(got.Stdout) != "left\n" {
		t.Errorf("%+v, %q", got, got.Stdout)
	}
	pid, err := strconv.Atoi(<-l.Begun)
	if err != nil {
		t.Fatal(err)
	}
	if err := syscall.Kill(pid, syscall.SIGTERM); err != nil {
		t.Errorf("the process that has left: %v", err)
	}
	l.Ended(t)
}

// A command that leaves its group itself is stopped all the same.
func TestACommandThatLeavesTheGroup(t *testing.T) {
	t.Parallel()
	l := testenv.WatchLife(t)
	ctx, cancel := context.WithCancel(t.Context())
	c := script(`trap 'kill $!; exit 7' TERM; ` + l.Child + `wait`)
	c.Path, c.Args = "/usr/bin/setsid", append([]string{c.Path}, c.Args...)
	done := begin(ctx, runner(t), c)
	<-l.Begun
	cancel()
	if got := ended(t, done); got.Stopped == nil || got.Code != 7 {
		t.Errorf("%+v", got)
	}
	l.Ended(t)
}

// All output counts, however slowly it is taken.
func TestSlowReadersLoseNothing(t *testing.T) {
	t.Parallel()
	l := testenv.WatchLife(t)
	slow := &gate{open: make(chan struct{})}
	c := script(l.Text + `head -c 65000 /dev/zero; sleep 600 &`)
	c.Stdout, c.KeepStdout = slow, 100_000
	done := begin(t.Context(), runner(t), c)
	l.Ended(t) // the command has exited, and what it left behind was killed
	close(slow.open)
	if got := ended(t, done); len(got.Stdout) != 65_000 || slow.bytes != 65_000 {
		t.Errorf("%d bytes, %d passed on", len(got.Stdout), slow.bytes)
	}
}

// gate takes bytes once it is open.
type gate struct {
	open  chan struct{}
	bytes int
}

func (g *gate) Write(p []byte) (int, error) {
	<-g.open
	g.bytes += len(p)
	return len(p), nil
}

// A reader that fails does not stop the command.
func TestFailingReaders(t *testing.T) {
	t.Parallel()
	c := script(`head -c 1000000 /dev/zero; echo end >&2`)
	c.Stdout = failing{}
	if got := run(t, c); got.Code != 0 || got.StdoutBytes != 1_000_000 || string(got.Stderr) != "end\n" {
		t.Errorf("%+v", got)
	}
}

type failing struct{}

func (failing) Write([]byte) (int, error) { return 0, errors.New("disk full") }

// TestMuchOutput is not parallel, because it measures the memory of the process.
func TestMuchOutput(t *testing.T) { //nolint:paralleltest // see above
	const size = 100_000_000
	c := script(`head -c 50 /dev/zero | tr '\0' a; head -c 99999950 /dev/zero; head -c 100000000 /dev/zero >&2; printf end >&2`)
	c.Stdout, c.Stderr = NewLines(io.Discard).Prefixed("t-1: "), NewLines(io.Discard).Prefixed("t-1: ")
	r := runner(t)
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	got := ended(t, begin(t.Context(), r, c))
	runtime.ReadMemStats(&after)
	if got.Code != 0 || got.StdoutBytes != size || len(got.Stdout) != c.KeepStdout || !bytes.HasPrefix(got.Stdout, bytes.Repeat([]byte("a"), 50)) {
		t.Errorf("code %d, %d bytes, %d kept", got.Code, got.StdoutBytes, len(got.Stdout))
	}
	if len(got.Stderr) != c.KeepStderr || !bytes.HasSuffix(got.Stderr, []byte("\x00end")) {
		t.Errorf("kept %d bytes of standard error", len(got.Stderr))
	}
	if allocated := after.TotalAlloc - before.TotalAlloc; allocated > 4<<20 {
		t.Errorf("allocated %d bytes for 200 MB of output", allocated)
	}
}

func TestTailKeepsTheEnd(t *testing.T) {
	t.Parallel()
	var all []byte
	kept, first := &tail{limit: 7}, &head{limit: 7}
	for n := range 40 {
		piece := bytes.Repeat([]byte{byte('a' + n%26)}, n%11)
		all = append(all, piece...)
		kept.add(piece)
		first.add(piece)
		if want := all[max(0, len(all)-7):]; !slices.Equal(kept.bytes(), want) {
			t.Fatalf("the tail of %s is %s", all, kept.bytes())
		}
		if want := all[:min(7, len(all))]; !slices.Equal(first.bytes(), want) {
			t.Fatalf("the head of %s is %s", all, first.bytes())
		}
	}
}
