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

// The two ways in which a child ends with us. Tests switch one off to prove the other.
var (
	useDeathSignal = true
	useWatcher     = true
)

// watcherScript ends process $1 by signal $2 when its standard input ends without a line, and by
// SIGKILL if that has not helped after ten seconds.
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
	lock   *os.File            // handed down, so that the lock is held while any process of the server lives
	cred   *syscall.Credential // nil: as ourselves
	orphan syscall.Signal      // what ends it when we are gone: SIGTERM, SIGINT, SIGQUIT or SIGKILL
}

// child is a process that we started and whose end we notice.
type child struct {
	process *os.Process
	done    chan struct{} // closed when it has ended and was waited for

	mu       sync.Mutex
	expected bool  // we asked it to end
	exit     error // how it ended; read after done
}

// startChild starts the process and the watcher over it.
func startChild(c command) (*child, error) {
	if _, err := os.Stat(c.path); err != nil {
		return nil, fmt.Errorf("run %s: %w", c.path, err)
	}
	// Nobody else may read what the server writes. The umask is set in the child, since this
	// process has threads that create folders for other users.
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
		// The parent-death signal comes when this thread ends, not when the process does. Locked
		// here until the child is gone, it cannot end before.
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

// startWatcher starts the shell that outlives us and then ends the process pid. What it returns
// sends the shell home, and must be called once the process was waited for.
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
		// A watcher that somebody killed leaves nothing to say goodbye to.
		_, _ = w.WriteString("done\n")
		_ = w.Close()
		_ = cmd.Wait()
	}, nil
}

// signal sends sig; a child that has ended already is no error.
func (c *child) signal(sig syscall.Signal) error {
	if err := c.process.Signal(sig); err != nil && !errors.Is(err, os.ErrProcessDone) {
		return fmt.Errorf("send %v to process %d: %w", sig, c.process.Pid, err)
	}
	return nil
}

// end is signal for a signal after which the child's end is no surprise.
func (c *child) end(sig syscall.Signal) error {
	c.mu.Lock()
	c.expected = true
	c.mu.Unlock()
	return c.signal(sig)
}

// ended says how the child ended: by our will or not, and with which status.
func (c *child) ended() (expected bool, exit error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.expected, c.exit
}
