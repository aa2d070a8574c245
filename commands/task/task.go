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
}

// Methods returns the methods of the domain task, in the order in which they are documented.
func Methods(o Options) ([]*command.Method, error) {
	create, err := createMethod()
	if err != nil {
		return nil, err
	}
	complete, err := o.completeMethod()
	if err != nil {
		return nil, err
	}
	return command.Collect(
		command.Made(create),
		func() (*command.Method, error) { return createManyMethod(create) },
		o.updateMethod,
		assignMethod,
		unassignMethod,
		o.claimMethod,
		command.Made(complete),
		func() (*command.Method, error) { return o.completeManyMethod(complete) },
		o.listMethod,
		getMethod,
		o.historyMethod,
		deleteMethod,
	)
}
