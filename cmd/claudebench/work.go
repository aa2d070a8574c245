package main

import (
	"cmp"
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"os/signal"
	"path/filepath"
	"sync"
	"syscall"
	"time"

	"github.com/spf13/cobra"

	"github.com/claudebench/claudebench/client"
	"github.com/claudebench/claudebench/internal/jsontext"
	"github.com/claudebench/claudebench/internal/process"
	"github.com/claudebench/claudebench/internal/terminal"
	"github.com/claudebench/claudebench/internal/work"
)

func newWork() *cobra.Command {
	t, o := &target{}, &workOptions{}
	cmd := &cobra.Command{
		Use:   "work [flags] -- COMMAND [ARG…]",
		Short: "Make a program a worker: run it for each task",
		Long: `Register a worker, claim tasks, and run COMMAND for each of them.

The command gets the task as JSON on standard input, and in its environment CB_TASK_ID,
CB_TASK_TEXT and CB_ATTEMPT, and for calls of its own CB_URL, CB_INSTANCE and CB_TOKEN. In
the arguments, {text} and {id} are replaced by those of the task. No shell reads them, unless
COMMAND is a shell: then use "$CB_TASK_TEXT" in the script instead of {text}.

Exit code 0 completes the task. Its result is what the command printed: JSON as it is, any
other text as {"output": "…"}, at most 256 KiB; cutBytes then says how much is missing. Any
other exit code, a signal, or the timeout makes the task failed. Its error is {"message",
"exitCode" or "signal", "stderr"}, with the last 8 KiB of standard error. Each line that the
command prints is shown after the task's id.

If the task is called off by task.cancel, the command is stopped: all processes of its group
get SIGTERM, and SIGKILL after the grace. The task is then cancelled, whatever the exit code.
If the task is deleted, or goes to another worker, the command is stopped too, and nothing is
reported. The runner looks every 10 seconds. When the command has exited, processes that it
has left behind are killed. When the runner dies, even by SIGKILL, its commands are killed too.

A command may say how far it is: claudebench call task.progress, with CB_TASK_ID, CB_INSTANCE
and CB_ATTEMPT as id, workerId and attempt. This also begins the task's time limit, timeoutMs,
anew. The answer says whether the task was called off.

SIGTERM or Ctrl-C: the runner claims no more tasks, waits up to the grace until the commands
have finished, stops the others, gives their tasks back, and unregisters. A command that fails
meanwhile has its task given back too. A second signal kills the commands at once.

A command that cannot be started ends the runner, and the task is given back. So do
--max-failures failed tasks in a row. The exit code is then 1. With --once or --until-empty it
is also 1 if a task failed.`,
		Example: `  claudebench work -- wc -w
  claudebench work --concurrency 4 --timeout 10m -- claude -p '{text}'
  claudebench work --until-empty --log-dir logs -- sh -c 'echo "$CB_TASK_TEXT" | wc -w'`,
		Args: func(_ *cobra.Command, args []string) error {
			if len(args) == 0 {
				return errors.New("work needs a COMMAND to run for each task, for example: claudebench work -- wc -w")
			}
			return nil
		},
		RunE: func(cmd *cobra.Command, args []string) error {
			if err := o.check(); err != nil {
				return usageError(err)
			}
			return runWork(cmd, t, o, args)
		},
	}
	// What follows COMMAND belongs to it, also without "--".
	cmd.Flags().SetInterspersed(false)
	t.bind(cmd)
	o.bind(cmd)
	return cmd
}

// workOptions are the flags of work.
type workOptions struct {
	id, dir, logDir          string
	roles                    []string
	concurrency, maxFailures int
	timeout, grace           time.Duration
	once, untilEmpty         bool
}

func (o *workOptions) bind(cmd *cobra.Command) {
	f := cmd.Flags()
	f.StringVar(&o.id, "id", "", "id of the worker; no other running worker may have it (default: made of the host's name)")
	f.StringSliceVar(&o.roles, "roles", []string{"worker"}, "roles of the worker, separated by commas")
	f.IntVar(&o.concurrency, "concurrency", 1, "how many commands may run at the same time, 1 to 100")
	f.DurationVar(&o.timeout, "timeout", 0, "how long a command may run; 0 is no limit")
	f.DurationVar(&o.grace, "grace", 10*time.Second, "how long commands may finish after a signal to the runner, and between SIGTERM and SIGKILL")
	f.StringVar(&o.dir, "cwd", "", "working directory of the commands (default: the current one)")
	f.BoolVar(&o.once, "once", false, "do one task, then end")
	f.BoolVar(&o.untilEmpty, "until-empty", false, "end when a claim finds no task and no command runs; tasks that other workers still do are not waited for")
	f.IntVar(&o.maxFailures, "max-failures", 10, "end after so many failed tasks in a row; 0 is no limit")
	f.StringVar(&o.logDir, "log-dir", "", "folder in which TASK.ATTEMPT.log, such as t-7.1.log, keeps what the commands print")
	cmd.MarkFlagsMutuallyExclusive("once", "concurrency")
}

func (o *workOptions) check() error {
	switch {
	case o.concurrency < 1 || o.concurrency > 100:
		return fmt.Errorf("--concurrency is %d; it must be 1 to 100", o.concurrency)
	case o.timeout < 0:
		return fmt.Errorf("--timeout is %v; it must not be negative", o.timeout)
	case o.grace < 0:
		return fmt.Errorf("--grace is %v; it must not be negative", o.grace)
	case o.maxFailures < 0:
		return fmt.Errorf("--max-failures is %d; it must not be negative", o.maxFailures)
	case len(o.roles) == 0:
		return errors.New("--roles is empty; name at least one role")
	}
	return nil
}

// worker returns the options of the client's worker.
func (o *workOptions) worker(stop context.Context, logger *slog.Logger) client.WorkerOptions {
	w := client.WorkerOptions{
		ID: o.id, Roles: o.roles, Concurrency: o.concurrency, UntilEmpty: o.untilEmpty, Stop: stop, Logger: logger,
		Grace: cmp.Or(o.grace, -1), // 0 would be the default
	}
	if o.once {
		w.Limit = 1
	}
	return w
}

func runWork(cmd *cobra.Command, t *target, o *workOptions, command []string) (err error) {
	if o.id == "" {
		o.id = defaultID()
	}
	env := []string{"CB_URL=" + t.baseURL(), "CB_INSTANCE=" + o.id}
	if t.ca != "" {
		ca, err := filepath.Abs(t.ca)
		if err != nil {
			return fmt.Errorf("--ca: %w", err)
		}
		env = append(env, "CB_CA="+ca)
	}
	c, err := t.dial()
	if err != nil {
		return err
	}
	defer c.Close()
	stderr := terminal.Writer(cmd.ErrOrStderr())
	logger := slog.New(slog.NewTextHandler(stderr, nil))
	program, err := work.New(work.Options{
		Command: command, Concurrency: o.concurrency, Dir: o.dir, Timeout: o.timeout, Grace: o.grace, LogDir: o.logDir, Env: env,
		Stdout: terminal.Writer(cmd.OutOrStdout()), Stderr: stderr,
		Warn: func(task, text string) { logger.Warn(text, "task", task) },
	})
	if err != nil {
		return usageError(err)
	}
	ctx, end := context.WithCancel(context.WithoutCancel(cmd.Context()))
	defer end()
	defer context.AfterFunc(cmd.Context(), end)()
	stop, stopNow := context.WithCancel(context.Background())
	defer stopNow()
	r := &workRun{program: program, maxFailures: o.maxFailures, ctx: ctx, end: end, stop: func() { program.Kill(); stopNow() }}
	defer r.onSignals(logger)()
	err = t.explained(client.NewWorker(c, o.worker(stop, logger)).Run(ctx, r.handle))
	// Run does not wait for handlers that were stopped.
	end()
	program.Kill()
	r.handlers.Wait()
	return cmp.Or(r.verdict(o), err, program.Close())
}

// defaultID is unlike that of every other worker. A worker that was killed and starts again with an
// id of its own need not wait for anything.
func defaultID() string {
	host, err := os.Hostname()
	if err != nil {
		host = "worker"
	}
	return fmt.Sprintf("%s-%d-%s", host, os.Getpid(), rand.Text()[:6])
}

// workRun is one run of work.
type workRun struct {
	program     *work.Program
	maxFailures int
	ctx         context.Context // ends when no more tasks are to be claimed
	end         func()          // ends ctx
	stop        func()          // kills the commands and ends the worker at once

	handlers sync.WaitGroup

	mu           sync.Mutex
	tasks        int // with an outcome
	failed       int
	failedInARow int
	fatal        error // why the run had to end
}

// handle runs the command for a task.
func (r *workRun) handle(ctx context.Context, t *client.Task) (any, error) {
	r.handlers.Add(1)
	defer r.handlers.Done()
	text, err := jsontext.Marshal(t)
	if err != nil {
		return nil, fmt.Errorf("encode the task: %w", err)
	}
	outcome, err := r.program.Do(ctx, work.Task{ID: string(t.ID), Text: t.Text, Attempt: t.Attempt, JSON: append(text, '\n')})
	var start *process.StartError
	switch {
	case errors.As(err, &start):
		r.fail(err)
		return nil, fmt.Errorf("%w: %w", client.ErrGiveBack, err)
	case err != nil:
		return nil, fmt.Errorf("%w: %w", client.ErrGiveBack, err)
	case outcome.Error != nil && r.ctx.Err() != nil:
		// Whoever ended the runner has probably ended the command too, as systemd does.
		return nil, fmt.Errorf("%w: %s while the worker ends", client.ErrGiveBack, outcome.Error.Message)
	}
	r.count(outcome.Error != nil)
	if outcome.Error != nil {
		return nil, &client.Failure{Data: outcome.Error}
	}
	return outcome.Result, nil
}

// count counts a task, and ends the run after too many failures in a row.
func (r *workRun) count(failed bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.tasks++
	if !failed {
		r.failedInARow = 0
		return
	}
	r.failed++
	r.failedInARow++
	if r.failedInARow == r.maxFailures {
		r.fatal = cmp.Or(r.fatal, fmt.Errorf("%d tasks in a row failed; check the command, or raise --max-failures", r.failedInARow))
		r.end()
	}
}

// fail ends the run because of an error. Commands that run may finish.
func (r *workRun) fail(err error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.fatal = cmp.Or(r.fatal, err)
	r.end()
}

// verdict returns the error of the whole run.
func (r *workRun) verdict(o *workOptions) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.fatal == nil && r.failed > 0 && (o.once || o.untilEmpty) {
		return fmt.Errorf("%d of %d tasks failed", r.failed, r.tasks)
	}
	return r.fatal
}

// onSignals ends the run at the first signal, and kills the commands at the second one. A third one
// ends the program. The returned function ends that.
func (r *workRun) onSignals(logger *slog.Logger) (end func()) {
	signals, over := make(chan os.Signal, 2), make(chan struct{})
	signal.Notify(signals, os.Interrupt, syscall.SIGTERM)
	go func() {
		for n := 1; ; n++ {
			select {
			case <-over:
				return
			case <-signals:
			}
			if n == 1 {
				logger.Info("ending after the running commands; a second signal kills them")
				r.end()
				continue
			}
			signal.Stop(signals)
			logger.Warn("killing the running commands")
			r.fail(errors.New("stopped by a second signal; unfinished tasks were given back"))
			r.stop()
			return
		}
	}()
	return func() {
		signal.Stop(signals)
		close(over)
	}
}
