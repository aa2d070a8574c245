package devstack

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"runtime"
	"syscall"
	"testing"
	"time"
)

// The parent-death signal belongs to the thread that started the child. If the thread of
// startChild's caller ends, the server must keep running.
func TestChildOutlivesTheThreadOfItsCaller(t *testing.T) {
	t.Parallel()
	var c *child
	var thread int
	started := make(chan error)
	var start func()
	start = func() {
		runtime.LockOSThread() // never unlocked: the thread ends with this goroutine
		if syscall.Gettid() == os.Getpid() {
			// Go never ends the main thread. If this is the main thread, hold it so that the next
			// goroutine gets another one.
			next := make(chan struct{})
			go func() { defer close(next); start() }()
			<-next
			return
		}
		thread = syscall.Gettid()
		var err error
		c, err = startChild(command{path: "/bin/sleep", args: []string{"600"}, dir: "/", orphan: syscall.SIGKILL})
		started <- err
	}
	go start()
	if err := <-started; err != nil {
		t.Fatal(err)
	}
	tick := time.NewTicker(time.Millisecond)
	defer tick.Stop()
	for deadline := time.Now().Add(10 * time.Second); ; <-tick.C {
		if _, err := os.Stat(fmt.Sprintf("/proc/self/task/%d", thread)); os.IsNotExist(err) {
			break
		}
		if time.Now().After(deadline) {
			t.Fatal("the thread has not ended")
		}
	}
	// A SIGKILL at the end of the thread would have been sent before this signal, and would win.
	if err := c.end(syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	ended(t, c.done)
	_, exit := c.ended()
	var status *exec.ExitError
	if !errors.As(exit, &status) || status.Sys().(syscall.WaitStatus).Signal() != syscall.SIGTERM {
		t.Errorf("the child ended by %v, want our SIGTERM", exit)
	}
}
