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

// endTimeout is how long a child may take to end after it was asked to.
const endTimeout = 30 * time.Second

// Self returns a command that runs the test binary as another program. Its TestMain recognises by a
// variable in env which one. Settings of that program in the environment of the test are left out. The
// program ends at once: by default, the race detector waits for a second at the end of a program.
func Self(t testing.TB, env []string, args ...string) *exec.Cmd {
	t.Helper()
	self, err := os.Executable()
	if err != nil {
		t.Fatalf("find the test binary: %v", err)
	}
	cmd := exec.Command(self, args...)
	cmd.Env = []string{"GORACE=atexit_sleep_ms=0"} // a GORACE of the environment comes later, and counts
	for _, v := range os.Environ() {
		if !strings.HasPrefix(v, "CB_") && !strings.HasPrefix(v, "OTEL_") {
			cmd.Env = append(cmd.Env, v)
		}
	}
	cmd.Env = append(cmd.Env, env...)
	return cmd
}

// Child is a program that a test has started. It is ended with the test.
type Child struct {
	*exec.Cmd
	done chan struct{}
}

// Launch starts a program. It ends the program with SIGTERM at the end of the test.
func Launch(t testing.TB, cmd *exec.Cmd) *Child {
	t.Helper()
	c := &Child{Cmd: cmd, done: make(chan struct{})}
	if err := c.Start(); err != nil {
		t.Fatal(err)
	}
	go func() {
		_ = c.Wait() // ProcessState has the outcome
		close(c.done)
	}()
	t.Cleanup(func() {
		_ = c.Process.Signal(syscall.SIGTERM) // it may have ended already
		c.Ended(t)
	})
	return c
}

// Done returns a channel that is closed when the program has ended.
func (c *Child) Done() <-chan struct{} { return c.done }

// Ended waits until the program has ended and returns its exit code, or -1 if a signal ended it.
// After half a minute it fails the test and kills the program.
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

// Screen collects the output of a program. It can be read while the program writes.
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
