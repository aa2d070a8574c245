package process

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"os/exec"
	"runtime"
	"sync"
	"syscall"
	"time"
)

// Command is what to run.
type Command struct {
	Path  string   // of the program
	Args  []string // without the program's name
	Dir   string   // working directory; empty means the current one
	Env   []string // as NAME=value; of a name that is there twice, the last value counts
	Stdin []byte

	// Stdout and Stderr get everything that the command prints. Each may be nil. If one returns an
	// error, it gets nothing more, and the command goes on.
	Stdout, Stderr io.Writer

	KeepStdout int           // bytes of the beginning of standard output that the result has
	KeepStderr int           // bytes of the end of standard error that the result has
	Grace      time.Duration // between SIGTERM and SIGKILL
}

// Result is how a command ended.
type Result struct {
	Code   int            // the exit code, or -1 if a signal ended the command
	Signal syscall.Signal // the signal that ended the command, or 0
	// Stopped is the cause of the context's end, if Run sent a signal for it. The command may still
	// have exited with code 0.
	Stopped error

	Stdout      []byte // the beginning of standard output
	StdoutBytes int64  // how many bytes there were in all
	Stderr      []byte // the end of standard error
}

// StartError is a command that could not be started.
type StartError struct {
	Path string
	Err  error
}

func (e *StartError) Error() string {
	err := e.Err
	var path *fs.PathError
	if errors.As(err, &path) {
		err = path.Err
	}
	hint := ""
	switch {
	case errors.Is(err, syscall.ENOEXEC):
		hint = "; a script must begin with a line such as #!/bin/sh"
	case errors.Is(err, fs.ErrNotExist):
		hint = "; check the command, its interpreter (the line that begins with #!) and --cwd"
	case errors.Is(err, fs.ErrPermission):
		hint = "; make it executable with chmod +x"
	}
	return fmt.Sprintf("start %s: %v%s", e.Path, err, hint)
}

func (e *StartError) Unwrap() error { return e.Err }

// Runner runs commands. Its methods may be called concurrently.
type Runner struct {
	groups *groups
	killed chan struct{}
	once   sync.Once
}

// NewRunner returns a runner for at most so many commands at a time. [Runner.Close] must be called
// when all have ended.
func NewRunner(commands int) (*Runner, error) {
	g, err := makeGroups(commands)
	if err != nil {
		return nil, err
	}
	return &Runner{groups: g, killed: make(chan struct{})}, nil
}

// Close ends the shell that guards the commands, and frees their process groups.
func (r *Runner) Close() error { return r.groups.close() }

// Kill kills all commands at once, also those that are started later.
func (r *Runner) Kill() { r.once.Do(func() { close(r.killed) }) }

// leftovers is how long processes that a command leaves behind may still write to its output.
const leftovers = time.Second

// Run runs a command and returns when nothing of it is left. When ctx ends, it sends SIGTERM to the
// command's process group, and SIGKILL after the grace. The only error is a [StartError]. While as
// many commands run as the runner is for, it waits.
func (r *Runner) Run(ctx context.Context, c Command) (Result, error) {
	group := <-r.groups.free
	defer func() { r.groups.free <- group }()
	p, err := start(c, group)
	if err != nil {
		return Result{}, err
	}
	stopping, killed := ctx.Done(), r.killed
	var stopped error
	var limit <-chan time.Time // until SIGKILL
	over := func() {
		p.signal(syscall.SIGKILL)
		stopping, limit, killed = nil, nil, nil
	}
	exited, drained := p.exited, p.drained
	for exited != nil || drained != nil && limit != nil {
		select {
		case <-exited:
			exited = nil
			if limit == nil && killed != nil {
				stopping, limit = nil, time.After(leftovers)
			}
		case <-drained:
			drained = nil
		case <-stopping:
			stopping, stopped = nil, context.Cause(ctx)
			p.signal(syscall.SIGTERM)
			limit = time.After(c.Grace)
		case <-limit:
			over()
		case <-killed:
			if stopped == nil && exited != nil {
				stopped = cmp.Or(context.Cause(ctx), errKilled)
			}
			over()
		}
	}
	return p.finish(stopped), nil
}

var errKilled = errors.New("killed")

// running is a command that was started.
type running struct {
	cmd     *exec.Cmd
	group   int
	exited  chan struct{} // closed when the command has exited
	drained chan struct{} // closed when its output has been read to the end
	outputs [2]*output
	stdin   *os.File
}

func start(c Command, group int) (*running, error) {
	cmd := exec.Command(c.Path, c.Args...)
	cmd.Dir, cmd.Env = c.Dir, c.Env
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true, Pgid: group}
	if useDeathSignal {
		killOnParentDeath(cmd.SysProcAttr)
	}
	ends, err := pipes(3)
	if err != nil {
		return nil, &StartError{c.Path, err}
	}
	stdin, stdout, stderr := ends[0], ends[1], ends[2]
	cmd.Stdin, cmd.Stdout, cmd.Stderr = stdin.r, stdout.w, stderr.w
	p := &running{
		cmd: cmd, group: group, exited: make(chan struct{}), drained: make(chan struct{}), stdin: stdin.w,
		outputs: [2]*output{
			{from: stdout.r, to: c.Stdout, kept: &head{limit: c.KeepStdout}},
			{from: stderr.r, to: c.Stderr, kept: &tail{limit: c.KeepStderr}},
		},
	}
	started := make(chan error, 1)
	go func() {
		// The parent-death signal is sent when this thread ends, not when the process does. The
		// thread is locked until the command has exited, so that it cannot end before.
		runtime.LockOSThread()
		defer runtime.UnlockOSThread()
		if err := cmd.Start(); err != nil {
			started <- err
			return
		}
		started <- nil
		_ = cmd.Wait() // ProcessState has the outcome
		close(p.exited)
	}()
	err = <-started
	for _, f := range []*os.File{stdin.r, stdout.w, stderr.w} {
		f.Close()
	}
	if err != nil {
		for _, f := range []*os.File{stdin.w, stdout.r, stderr.r} {
			f.Close()
		}
		return nil, &StartError{c.Path, err}
	}
	go func() {
		// A command need not read its input.
		_, _ = p.stdin.Write(c.Stdin)
		p.stdin.Close()
	}()
	go p.read()
	return p, nil
}

// read reads both outputs to their ends.
func (p *running) read() {
	var both sync.WaitGroup
	for _, o := range p.outputs {
		both.Go(o.copy)
	}
	both.Wait()
	close(p.drained)
}

func (p *running) signal(s syscall.Signal) { signal(p.group, p.cmd.Process, s) }

// finish kills what is left of the command's process group and returns the result.
func (p *running) finish(stopped error) Result {
	p.signal(syscall.SIGKILL)
	// Processes outside the group may hold the pipes open.
	for _, o := range p.outputs {
		o.end()
	}
	p.stdin.Close()
	<-p.drained
	stdout, stderr := p.outputs[0], p.outputs[1]
	result := Result{Code: -1, Stopped: stopped, Stdout: stdout.kept.bytes(), StdoutBytes: stdout.bytes, Stderr: stderr.kept.bytes()}
	if state, ok := p.cmd.ProcessState.Sys().(syscall.WaitStatus); ok {
		if result.Code = state.ExitStatus(); state.Signaled() {
			result.Signal = state.Signal()
		}
	}
	return result
}

// pipe is both ends of a pipe.
type pipe struct{ r, w *os.File }

// pipes makes n pipes, or none.
func pipes(n int) ([]pipe, error) {
	var all []pipe
	for range n {
		r, w, err := os.Pipe()
		if err != nil {
			for _, p := range all {
				p.r.Close()
				p.w.Close()
			}
			return nil, fmt.Errorf("make a pipe: %w", err)
		}
		all = append(all, pipe{r, w})
	}
	return all, nil
}
