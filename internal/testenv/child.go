package testenv

import (
	"bytes"
	"os"
	"os/exec"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"
)

// endTimeout is how long a child may take to end by itself once it was asked to.
const endTimeout = 30 * time.Second

// Self is the test binary itself, ready to be run as another program: its TestMain knows by a
// variable of env what to be. Settings of that program that happen to be in the environment are
// left out.
func Self(t testing.TB, env []string, args ...string) *exec.Cmd {
	t.Helper()
	self, err := os.Executable()
	if err != nil {
		t.Fatalf("find the test binary: %v", err)
	}
	cmd := exec.Command(self, args...)
	for _, v := range os.Environ() {
		if !strings.HasPrefix(v, "CB_") && !strings.HasPrefix(v, "OTEL_") {
			cmd.Env = append(cmd.Env, v)
		}
	}
	cmd.Env = append(cmd.Env, env...)
	return cmd
}

// Child is a program that a test has started. It is gone when the test ends.
type Child struct {
	*exec.Cmd
	done chan struct{}
}

// Launch starts a program, to be ended by the test; when the test ends, by SIGTERM.
func Launch(t testing.TB, cmd *exec.Cmd) *Child {
	t.Helper()
	c := &Child{Cmd: cmd, done: make(chan struct{})}
	if err := c.Start(); err != nil {
		t.Fatal(err)
	}
	go func() {
		_ = c.Wait() // ProcessState tells
		close(c.done)
	}()
	t.Cleanup(func() {
		_ = c.Process.Signal(syscall.SIGTERM) // perhaps it has ended already
		c.Ended(t)
	})
	return c
}

// Done is closed when the program has ended.
func (c *Child) Done() <-chan struct{} { return c.done }

// Ended waits for the program's end and gives its exit code, -1 if a signal ended it. One that does
// not end within half a minute fails the test and is killed.
func (c *Child) Ended(t testing.TB) int {
	t.Helper()
	late := time.NewTimer(endTimeout)
	defer late.Stop()
	select {
	case <-c.done:
	case <-late.C:
		_ = c.Process.Kill()
		<-c.done
		t.Errorf("%s did not end; its log: %v", c.Path, c.Stderr)
	}
	return c.ProcessState.ExitCode()
}

// Screen keeps what a program writes, to be looked at while it writes.
type Screen struct {
	mu   sync.Mutex
	text bytes.Buffer
}

func (s *Screen) Write(p []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.text.Write(p)
}

func (s *Screen) String() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.text.String()
}
