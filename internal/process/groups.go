package process

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"strconv"
	"syscall"
)

// Two independent mechanisms end the commands when this process dies. Tests disable one to test the
// other.
var (
	useDeathSignal = true
	useGuard       = true
)

// guardScript waits until its standard input ends. If that happens without a line, this process has
// died. Then the script kills the process groups that are its arguments.
const guardScript = `
trap '' HUP INT TERM
read -r word && exit 0
for group; do
	kill -s KILL -- "-$group"
done
`

// groups are the process groups in which commands run, and the guard, which kills them when this
// process has died. The groups exist before the commands, so no command runs unguarded. Each is
// held by a process that has ended and that is not waited for until the end: so the system gives
// its ID to no other process, and no signal to the group affects it.
type groups struct {
	free    chan int // IDs
	holders []*exec.Cmd
	guard   *exec.Cmd
	pipe    *os.File // its end is the end of this process
}

func makeGroups(n int) (*groups, error) {
	g := &groups{free: make(chan int, n)}
	args := []string{"-c", guardScript, "claudebench-guard"}
	for range n {
		holder := exec.Command("/bin/sh", "-c", "exit 0")
		holder.Dir, holder.SysProcAttr = "/", &syscall.SysProcAttr{Setpgid: true}
		if err := holder.Start(); err != nil {
			return nil, errors.Join(fmt.Errorf("make a process group: %w", err), g.close())
		}
		g.holders = append(g.holders, holder)
		g.free <- holder.Process.Pid
		args = append(args, strconv.Itoa(holder.Process.Pid))
	}
	if !useGuard {
		return g, nil
	}
	r, w, err := os.Pipe()
	if err != nil {
		return nil, errors.Join(fmt.Errorf("make the guard's pipe: %w", err), g.close())
	}
	defer r.Close()
	guard := exec.Command("/bin/sh", args...)
	guard.Dir, guard.Stdin, guard.SysProcAttr = "/", r, &syscall.SysProcAttr{Setpgid: true}
	if err := guard.Start(); err != nil {
		w.Close()
		return nil, errors.Join(fmt.Errorf("start the shell that ends the commands if this process dies: %w", err), g.close())
	}
	g.guard, g.pipe = guard, w
	return g, nil
}

// signal sends a signal to a group, and to a command that has left it (setsid).
func signal(group int, command *os.Process, s syscall.Signal) {
	_ = syscall.Kill(-group, s) // fails if nobody is left
	// A command that is in the group must not get the signal twice. If it has ended, it gets none.
	if now, err := syscall.Getpgid(command.Pid); err == nil && now != group {
		_ = command.Signal(s)
	}
}

// close ends the guard and frees the groups. No command may be running.
func (g *groups) close() error {
	if g.guard != nil {
		// If somebody killed the guard, these fail, and that is fine.
		_, _ = g.pipe.WriteString("done\n")
		_ = g.pipe.Close()
		_ = g.guard.Wait()
	}
	var failed error
	for _, holder := range g.holders {
		var exit *exec.ExitError
		if err := holder.Wait(); err != nil && !errors.As(err, &exit) {
			failed = fmt.Errorf("free a process group: %w", err)
		}
	}
	return failed
}
