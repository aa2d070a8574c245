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

// The kernel ties the parent-death signal to the thread that started the child. A caller whose
// thread ends must not take the server with it.
func TestChildOutlivesTheThreadOfItsCaller(t *testing.T) {
	t.Parallel()
	var c *child
	var thread int
	started := make(chan error)
	var start func()
	start = func() {
		runtime.LockOSThread() // never unlocked: the thread ends with this goroutine
		if syscall.Gettid() == os.Getpid() {
			// Go keeps the main thread for ever. While we hold it, the next one gets another.
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
	// A SIGKILL that came with the thread's end came before this signal, and wins.
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
