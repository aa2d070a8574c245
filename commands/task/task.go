// Package task is the domain of tasks. Each method task.* has one file, named after it, with the
// method's params, result, limits and script. Package commands lists its Methods.
//
// The methods return the errors of their scripts. If Redis is unavailable, every method fails. If
// Postgres is unavailable, only task.list and task.history fail.
package task

import (
	"time"

	"github.com/claudebench/claudebench/internal/command"
	"github.com/claudebench/claudebench/internal/taskview"
	"github.com/claudebench/claudebench/internal/timers"
	"github.com/claudebench/claudebench/internal/waiting"
)

// Options configure the methods.
type Options struct {
	// View is the view that task.list reads. Nil means no Postgres.
	View taskview.View
	// Index is the index of events that task.history reads. Nil means no Postgres.
	Index taskview.EventIndex
	// Shares limits the concurrent lists of each caller.
	Shares *taskview.Shares
	// Retention is how long a finished task stays in Redis.
	Retention time.Duration
	// Waiting keeps claims open that wait for a task.
	Waiting *waiting.Hub
	// Timers look for what a command has left for a later time.
	Timers *timers.Timers
}

// Methods returns the methods of the domain task, in the order in which they are documented.
func Methods(o Options) ([]*command.Method, error) {
	decision := o.createDecision()
	create, err := createMethod(decision)
	if err != nil {
		return nil, err
	}
	complete, err := o.completeMethod()
	if err != nil {
		return nil, err
	}
	return command.Collect(
		command.Made(create),
		func() (*command.Method, error) { return createManyMethod(create, decision) },
		o.updateMethod,
		assignMethod,
		o.unassignMethod,
		o.claimMethod,
		command.Made(complete),
		func() (*command.Method, error) { return o.completeManyMethod(complete) },
		progressMethod,
		o.cancelMethod,
		retryMethod,
		o.cancelManyMethod,
		o.retryManyMethod,
		o.deleteManyMethod,
		o.listMethod,
		getMethod,
		o.historyMethod,
		o.deleteMethod,
	)
}
