package process

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"runtime"
	"syscall"
	"testing"
	"time"

	"github.com/claudebench/claudebench/internal/testenv"
)

// With these variables the test binary runs itself as a process that runs commands and is killed.
const (
	ownerMode   = "PROCESS_TEST_OWNER"
	ownerScript = "PROCESS_TEST_SCRIPT"
)

func own(mode string) {
	useDeathSignal = mode != "guard"
	useGuard = mode != "signal"
	r, err := NewRunner(1)
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	// A command before it, so that its group is used again.
	for _, text := range []string{"exit 0", os.Getenv(ownerScript)} {
		result, err := r.Run(context.Background(), script(text))
		fmt.Fprintln(os.Stderr, result.Code, err)
	}
	os.Exit(1) // it should have been killed
}

// A command, and what it has started, dies with this process.
func TestCommandsDieWithTheirOwner(t *testing.T) {
	t.Parallel()
	modes := map[string]string{"both": "sleep 600 & sleep 600", "guard": "sleep 600 & sleep 600"}
	if runtime.GOOS == "linux" {
		modes["signal"] = "exec sleep 600" // it reaches only the command itself
	}
	for mode, text := range modes {
		t.Run(mode, func(t *testing.T) {
			t.Parallel()
			l := testenv.WatchLife(t)
			cmd := testenv.Self(t, []string{ownerMode + "=" + mode, ownerScript + "=trap '' HUP INT TERM; " + l.Text + text})
			cmd.Stderr = os.Stderr
			owner := testenv.Launch(t, cmd)
			pid := <-l.Begun
			if err := owner.Process.Signal(syscall.SIGKILL); err != nil {
				t.Fatal(err)
			}
			l.Ended(t)
			if pid == "" {
				t.Error("the command did not start")
			}
		})
	}
}

// The guard ends with the runner, and lets what runs in the group run.
func TestTheGuardEndsWithTheRunner(t *testing.T) {
	t.Parallel()
	r, err := NewRunner(1)
	if err != nil {
		t.Fatal(err)
	}
	l := testenv.WatchLife(t)
	bystander := exec.Command("/bin/sh", "-c", l.Text+"read -r x")
	bystander.SysProcAttr = &syscall.SysProcAttr{Setpgid: true, Pgid: r.groups.holders[0].Process.Pid}
	stdin, err := bystander.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := bystander.Start(); err != nil {
		t.Fatal(err)
	}
	<-l.Begun
	if err := r.Close(); err != nil {
		t.Error(err)
	}
	if !r.groups.guard.ProcessState.Success() {
		t.Errorf("the guard ended with %v", r.groups.guard.ProcessState)
	}
	if err := stdin.Close(); err != nil {
		t.Error(err)
	}
	_ = bystander.Wait()
	if status, ok := bystander.ProcessState.Sys().(syscall.WaitStatus); !ok || status.Signaled() {
		t.Errorf("the bystander ended with %v", bystander.ProcessState)
	}
}

// The parent-death signal belongs to the thread that started the command. If a thread of the caller
// ends, the command must keep running.
func TestCommandsOutliveThreads(t *testing.T) {
	t.Parallel()
	r, l := runner(t), testenv.WatchLife(t)
	ctx, cancel := context.WithCancel(t.Context())
	var done <-chan ran
	started := make(chan struct{})
	go func() {
		runtime.LockOSThread() // never unlocked: the thread ends with this goroutine
		done = begin(ctx, r, script(l.Text+"exec sleep 600"))
		close(started)
	}()
	<-started
	<-l.Begun
	// Many goroutines whose threads end with them.
	for range 50 {
		over := make(chan struct{})
		go func() {
			defer close(over)
			runtime.LockOSThread()
		}()
		<-over
	}
	select {
	case got := <-done:
		t.Errorf("the command has ended: %+v", got)
	case <-time.After(100 * time.Millisecond):
	}
	cancel()
	if got := ended(t, done); got.Signal != syscall.SIGTERM {
		t.Errorf("%+v", got)
	}
}
