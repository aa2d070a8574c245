package main

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/claudebench/claudebench/internal/testenv"
)

// asProgram, when set, makes the test binary the program itself.
const asProgram = "CLAUDEBENCH_TEST_AS_PROGRAM"

func TestMain(m *testing.M) {
	if os.Getenv(asProgram) != "" {
		os.Exit(run())
	}
	testenv.Main(m)
}

// child is the program as a child of the test.
type child struct {
	*exec.Cmd
	out, log *screen
	done     chan struct{} // closed when it has ended
}

// command makes the program ready to run, in an environment without settings but those given.
func command(env []string, args ...string) *exec.Cmd {
	self, err := os.Executable()
	if err != nil {
		panic(err) // the test binary runs, so it is somewhere
	}
	cmd := exec.Command(self, args...)
	for _, v := range os.Environ() {
		if !strings.HasPrefix(v, "CB_") && !strings.HasPrefix(v, "OTEL_") {
			cmd.Env = append(cmd.Env, v)
		}
	}
	cmd.Env = append(append(cmd.Env, asProgram+"=1"), env...)
	return cmd
}

// result is what a run of the program came to.
type result struct {
	out, log string
	code     int
}

// execute runs the program to its end.
func execute(t *testing.T, env []string, args ...string) result {
	t.Helper()
	return finish(t, command(env, args...))
}

func finish(t *testing.T, cmd *exec.Cmd) result {
	t.Helper()
	var out, log bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &log
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	late := time.AfterFunc(time.Minute, func() { _ = cmd.Process.Kill() })
	defer late.Stop()
	err := cmd.Wait()
	var exit *exec.ExitError
	if err != nil && !errors.As(err, &exit) {
		t.Fatal(err)
	}
	return result{out.String(), log.String(), cmd.ProcessState.ExitCode()}
}

// launch starts the program, to be ended by the test or at its end.
func launch(t *testing.T, env []string, args ...string) *child {
	t.Helper()
	c := &child{Cmd: command(env, args...), out: &screen{}, log: &screen{}, done: make(chan struct{})}
	c.Stdout, c.Stderr = c.out, c.log
	if err := c.Start(); err != nil {
		t.Fatal(err)
	}
	go func() {
		_ = c.Wait() // ProcessState tells
		close(c.done)
	}()
	t.Cleanup(func() {
		_ = c.Process.Signal(syscall.SIGTERM) // perhaps it has ended already
		c.ended(t)
	})
	return c
}

// ended waits for the program's end and gives its exit code, -1 if a signal ended it.
func (c *child) ended(t *testing.T) int {
	t.Helper()
	select {
	case <-c.done:
	case <-time.After(30 * time.Second):
		_ = c.Process.Kill()
		<-c.done
		t.Errorf("the program did not end:\n%s", c.log)
	}
	return c.ProcessState.ExitCode()
}

func (c *child) signal(t *testing.T, s os.Signal) {
	t.Helper()
	if err := c.Process.Signal(s); err != nil {
		t.Fatal(err)
	}
}

// address waits until the program's log tells that it listens, and where.
func (c *child) address(t *testing.T) string {
	t.Helper()
	var addr string
	testenv.Eventually(t, 60*time.Second, func() (bool, string) {
		_, rest, ok := strings.Cut(c.log.String(), `"address":"http://`)
		addr, _, _ = strings.Cut(rest, `"`)
		select {
		case <-c.done:
			t.Fatalf("the program ended:\n%s", c.log)
		default:
		}
		return ok, c.log.String()
	})
	return addr
}

// shows waits until the program's output holds a text.
func (c *child) shows(t *testing.T, text string) {
	t.Helper()
	testenv.Eventually(t, 60*time.Second, func() (bool, string) {
		select {
		case <-c.done:
			t.Fatalf("the program ended before it showed %q:\n%s%s", text, c.out, c.log)
		default:
		}
		return strings.Contains(c.out.String(), text), fmt.Sprintf("%q is not in %s\n%s", text, c.out, c.log)
	})
}

// screen keeps what a running program writes.
type screen struct {
	mu   sync.Mutex
	text bytes.Buffer
}

func (s *screen) Write(p []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.text.Write(p)
}

func (s *screen) String() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.text.String()
}

// lines gives the whole lines.
func (s *screen) lines() []string {
	var all []string
	for scan := bufio.NewScanner(strings.NewReader(s.String())); scan.Scan(); {
		all = append(all, scan.Text())
	}
	return all
}

// inProcess runs a command line in this process, for those that need no process of their own.
func inProcess(ctx context.Context, args ...string) (string, error) {
	var out bytes.Buffer
	root := newRoot()
	root.SetOut(&out)
	root.SetErr(io.Discard)
	root.SetArgs(args)
	err := root.ExecuteContext(ctx)
	return out.String(), err
}
