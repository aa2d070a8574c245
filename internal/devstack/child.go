package devstack

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"runtime"
	"strconv"
	"sync"
	"syscall"
)

// Two independent mechanisms end a child when this process dies. Tests disable one to test the
// other.
var (
	useDeathSignal = true
	useWatcher     = true
)

// watcherScript sends signal $2 to process $1 when its standard input ends without a line. After
// ten seconds it sends SIGKILL.
const watcherScript = `
read -r word && exit 0
kill -CONT "$1"
kill -"$2" "$1" || exit 0
n=0
while kill -0 "$1"; do
	[ $n -ge 10 ] && kill -KILL "$1"
	[ $n -ge 12 ] && exit 0
	n=$((n + 1))
	sleep 1
done
`

// command is what startChild runs.
type command struct {
	path   string
	args   []string
	dir    string
	log    *os.File            // standard output and error; closed by the caller
	lock   *os.File            // inherited, so that it stays locked while any process of the server lives
	cred   *syscall.Credential // nil means the current user
	orphan syscall.Signal      // the signal after this process died: SIGTERM, SIGINT, SIGQUIT or SIGKILL
}

// child is a process that we started and whose end we notice.
type child struct {
	process *os.Process
	done    chan struct{} // closed after the process has ended and was waited for

	mu       sync.Mutex
	expected bool  // we asked it to end
	exit     error // how it ended; read after done
}

// startChild starts a process and its watcher.
func startChild(c command) (*child, error) {
	if _, err := os.Stat(c.path); err != nil {
		return nil, fmt.Errorf("run %s: %w", c.path, err)
	}
	// Only this user may read what the server writes. The umask is set in the child, because
	// threads of this process create folders for other users.
	cmd := exec.Command("/bin/sh", append([]string{"-c", `umask 077; exec "$0" "$@"`, c.path}, c.args...)...)
	cmd.Dir = c.dir
	cmd.Env = append(os.Environ(), "LC_ALL=C")
	cmd.Stdout, cmd.Stderr = c.log, c.log
	if c.lock != nil {
		cmd.ExtraFiles = []*os.File{c.lock}
	}
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true, Credential: c.cred}
	if useDeathSignal {
		onParentDeath(cmd.SysProcAttr, c.orphan)
	}

	ch := &child{done: make(chan struct{})}
	started := make(chan error, 1)
	go func() {
		// The parent-death signal is sent when this thread ends, not when the process does. The
		// thread stays locked here until the child has ended, so it cannot end before.
		runtime.LockOSThread()
		defer runtime.UnlockOSThread()
		if err := cmd.Start(); err != nil {
			started <- fmt.Errorf("run %s: %w", c.path, err)
			return
		}
		dismiss, err := startWatcher(cmd.Process.Pid, c.orphan)
		if err != nil {
			_ = cmd.Process.Kill()
			_ = cmd.Wait()
			started <- err
			return
		}
		ch.process = cmd.Process
		started <- nil
		exit := cmd.Wait()
		dismiss()
		ch.mu.Lock()
		ch.exit = exit
		ch.mu.Unlock()
		close(ch.done)
	}()
	if err := <-started; err != nil {
		return nil, err
	}
	return ch, nil
}

// startWatcher starts a shell that outlives this process and then ends the process pid. dismiss
// ends the shell. It must be called after the process was waited for.
func startWatcher(pid int, sig syscall.Signal) (dismiss func(), err error) {
	if !useWatcher {
		return func() {}, nil
	}
	names := map[syscall.Signal]string{
		syscall.SIGTERM: "TERM", syscall.SIGINT: "INT", syscall.SIGQUIT: "QUIT", syscall.SIGKILL: "KILL",
	}
	r, w, err := os.Pipe()
	if err != nil {
		return nil, fmt.Errorf("make the watcher's pipe: %w", err)
	}
	defer r.Close()
	cmd := exec.Command("/bin/sh", "-c", watcherScript, "watcher", strconv.Itoa(pid), names[sig])
	cmd.Dir = "/"
	cmd.Stdin = r
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	if err := cmd.Start(); err != nil {
		w.Close()
		return nil, fmt.Errorf("start the watcher over process %d: %w", pid, err)
	}
	return func() {
		// If somebody killed the watcher, these fail, and that is fine.
		_, _ = w.WriteString("done\n")
		_ = w.Close()
		_ = cmd.Wait()
	}, nil
}

// signal sends sig. If the child has ended already, that is not an error.
func (c *child) signal(sig syscall.Signal) error {
	if err := c.process.Signal(sig); err != nil && !errors.Is(err, os.ErrProcessDone) {
		return fmt.Errorf("send %v to process %d: %w", sig, c.process.Pid, err)
	}
	return nil
}

// end sends a signal after which the child is expected to end.
func (c *child) end(sig syscall.Signal) error {
	c.mu.Lock()
	c.expected = true
	c.mu.Unlock()
	return c.signal(sig)
}

// ended reports whether the end of the child was expected, and its exit status.
func (c *child) ended() (expected bool, exit error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.expected, c.exit
}
