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
	"testing"
	"time"

	"github.com/claudebench/claudebench/internal/testenv"
)

// asProgram makes the test binary run as the program.
const asProgram = "CLAUDEBENCH_TEST_AS_PROGRAM"

func TestMain(m *testing.M) {
	if os.Getenv(asProgram) != "" {
		os.Exit(run())
	}
	testenv.Main(m)
}

// child is the program as a child process of the test.
type child struct {
	*testenv.Child
	out, log *screen
}

// command prepares a run of the program with no settings in its environment except env.
func command(t *testing.T, env []string, args ...string) *exec.Cmd {
	t.Helper()
	return testenv.Self(t, append([]string{asProgram + "=1"}, env...), args...)
}

// result is the outcome of a run of the program.
type result struct {
	out, log string
	code     int
}

// execute runs the program and waits until it exits.
func execute(t *testing.T, env []string, args ...string) result {
	t.Helper()
	return finish(t, command(t, env, args...))
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

// launch starts the program. It is killed when the test ends.
func launch(t *testing.T, env []string, args ...string) *child {
	t.Helper()
	cmd, out, log := command(t, env, args...), &screen{}, &screen{}
	cmd.Stdout, cmd.Stderr = out, log
	return &child{testenv.Launch(t, cmd), out, log}
}

// ended waits until the program exits and returns its exit code, or -1 if a signal killed it.
func (c *child) ended(t *testing.T) int {
	t.Helper()
	return c.Ended(t)
}

func (c *child) signal(t *testing.T, s os.Signal) {
	t.Helper()
	if err := c.Process.Signal(s); err != nil {
		t.Fatal(err)
	}
}

// address waits until the program logs its address, and returns it.
func (c *child) address(t *testing.T) string {
	t.Helper()
	var addr string
	testenv.Eventually(t, 60*time.Second, func() (bool, string) {
		_, rest, ok := strings.Cut(c.log.String(), `"address":"http://`)
		addr, _, _ = strings.Cut(rest, `"`)
		select {
		case <-c.Done():
			t.Fatalf("the program ended:\n%s", c.log)
		default:
		}
		return ok, c.log.String()
	})
	return addr
}

// shows waits until the program's output contains a text.
func (c *child) shows(t *testing.T, text string) {
	t.Helper()
	testenv.Eventually(t, 60*time.Second, func() (bool, string) {
		select {
		case <-c.Done():
			t.Fatalf("the program ended before it showed %q:\n%s%s", text, c.out, c.log)
		default:
		}
		return strings.Contains(c.out.String(), text), fmt.Sprintf("%q is not in %s\n%s", text, c.out, c.log)
	})
}

// screen collects the output of a running program.
type screen struct{ testenv.Screen }

// lines returns the complete lines.
func (s *screen) lines() []string {
	var all []string
	for scan := bufio.NewScanner(strings.NewReader(s.String())); scan.Scan(); {
		all = append(all, scan.Text())
	}
	return all
}

// inProcess runs a command line in this process, for tests that need no separate process.
func inProcess(ctx context.Context, args ...string) (string, error) {
	var out bytes.Buffer
	root := newRoot()
	root.SetOut(&out)
	root.SetErr(io.Discard)
	root.SetArgs(args)
	err := root.ExecuteContext(ctx)
	return out.String(), err
}
