// Package work runs a command for each task and turns how it ended into the task's result or error.
// `claudebench work` calls it; internal/process runs the commands. It does not talk to a
// coordinator, so nothing of it depends on one.
package work

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"github.com/claudebench/claudebench/internal/process"
)

// Task is an attempt at a task.
type Task struct {
	ID, Text string
	Attempt  int
	JSON     []byte // the whole task, for the command's standard input
}

// Options say which command to run and how.
type Options struct {
	Command     []string // the program and its arguments
	Concurrency int      // at most so many commands at a time
	Dir         string   // the command's working directory; empty means the current one
	Timeout     time.Duration
	Grace       time.Duration // between SIGTERM and SIGKILL
	LogDir      string        // folder for the output of each attempt; empty means none
	Env         []string      // added to the environment of this process

	Stdout, Stderr io.Writer // get the lines that the commands print
	// Warn is told what goes wrong with a task without changing how it ends. It may be called
	// concurrently.
	Warn func(task, text string)
}

// Program runs its command for tasks. Its methods may be called concurrently.
type Program struct {
	options        Options
	path           string
	runner         *process.Runner
	logs           *os.Root // nil without LogDir
	stdout, stderr *process.Lines
}

// New finds the command's program and the folders. [Program.Close] must be called in the end.
func New(o Options) (*Program, error) {
	if o.Dir != "" {
		if info, err := os.Stat(o.Dir); err != nil {
			return nil, fmt.Errorf("find the working directory: %w", err)
		} else if !info.IsDir() {
			return nil, fmt.Errorf("find the working directory: %s is not a directory", o.Dir)
		}
	}
	path, err := find(o.Command[0], o.Dir)
	if err != nil {
		return nil, err
	}
	p := &Program{options: o, path: path, stdout: process.NewLines(o.Stdout), stderr: process.NewLines(o.Stderr)}
	if o.LogDir != "" {
		if err := os.MkdirAll(o.LogDir, 0o700); err != nil {
			return nil, fmt.Errorf("make the log folder: %w", err)
		}
		if p.logs, err = os.OpenRoot(o.LogDir); err != nil {
			return nil, fmt.Errorf("open the log folder: %w", err)
		}
	}
	if p.runner, err = process.NewRunner(o.Concurrency); err != nil {
		return nil, errors.Join(err, p.closeLogs())
	}
	return p, nil
}

// find returns the path of a program. A name without a slash is looked up in PATH. A path is
// relative to the command's working directory, as in a shell that has changed to it.
func find(name, dir string) (string, error) {
	if !strings.ContainsRune(name, filepath.Separator) {
		path, err := exec.LookPath(name)
		if err != nil {
			return "", fmt.Errorf("find the command: %w", err)
		}
		return filepath.Abs(path)
	}
	if !filepath.IsAbs(name) {
		name = filepath.Join(dir, name)
	}
	path, err := filepath.Abs(name)
	if err != nil {
		return "", fmt.Errorf("find the command: %w", err)
	}
	if _, err := exec.LookPath(path); err != nil {
		return "", fmt.Errorf("find the command: %w", err)
	}
	return path, nil
}

// Close frees what the program uses. No command may be running.
func (p *Program) Close() error { return errors.Join(p.runner.Close(), p.closeLogs()) }

func (p *Program) closeLogs() error {
	if p.logs == nil {
		return nil
	}
	return p.logs.Close()
}

// Kill kills all commands at once.
func (p *Program) Kill() { p.runner.Kill() }

// errTimeout is why a command was stopped that took too long.
var errTimeout = errors.New("timeout")

// Do runs the command for a task. When ctx ends, it stops the command and returns the context's
// cause: then the task has no outcome. A command that cannot be started is a *[process.StartError].
func (p *Program) Do(ctx context.Context, t Task) (Outcome, error) {
	attempt := ctx
	if p.options.Timeout > 0 {
		var cancel context.CancelFunc
		attempt, cancel = context.WithTimeoutCause(ctx, p.options.Timeout, errTimeout)
		defer cancel()
	}
	log := p.log(t)
	stdout, stderr := p.stdout.Prefixed(t.ID+": "), p.stderr.Prefixed(t.ID+": ")
	result, err := p.runner.Run(attempt, process.Command{
		Path: p.path, Args: arguments(p.options.Command[1:], t), Dir: p.options.Dir, Env: p.environment(t), Stdin: t.JSON,
		Stdout: both{log, stdout}, Stderr: both{log, stderr},
		KeepStdout: maxResult, KeepStderr: maxStderr, Grace: p.options.Grace,
	})
	// Their errors are those of earlier writes, which Run has seen.
	_ = stdout.Close()
	_ = stderr.Close()
	log.close()
	switch {
	case err != nil:
		return Outcome{}, err
	case result.Stopped != nil && !errors.Is(result.Stopped, errTimeout):
		return Outcome{}, result.Stopped
	}
	return outcome(result, p.options.Timeout), nil
}

// arguments replaces {text} and {id}. The result is never read by a shell, unless the command is
// one.
func arguments(args []string, t Task) []string {
	replace := strings.NewReplacer("{text}", printable(t.Text), "{id}", t.ID)
	replaced := make([]string, len(args))
	for i, arg := range args {
		replaced[i] = replace.Replace(arg)
	}
	return replaced
}

func (p *Program) environment(t Task) []string {
	env := append(os.Environ(), p.options.Env...)
	return append(env, "CB_TASK_ID="+t.ID, "CB_TASK_TEXT="+printable(t.Text), "CB_ATTEMPT="+strconv.Itoa(t.Attempt))
}

// printable replaces NUL characters, which neither arguments nor variables can hold.
func printable(text string) string { return strings.ReplaceAll(text, "\x00", "\ufffd") }

// both writes to the log and to the screen. An error of one does not stop the other.
type both struct {
	log    *attemptLog
	screen io.Writer
}

func (b both) Write(text []byte) (int, error) {
	b.log.write(text)
	_, _ = b.screen.Write(text) // if the screen is gone, the task is not
	return len(text), nil
}
