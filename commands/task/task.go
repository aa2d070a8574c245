// Package task is the domain of tasks: one file for each method of task.*, named after it, with the
// method's params, result, limits and script. Package commands lists its Methods.
package task

import (
	"time"

	"github.com/claudebench/claudebench/internal/command"
	"github.com/claudebench/claudebench/internal/taskview"
)

// Options are what the tasks' methods work with.
type Options struct {
	// View is what task.list reads; nil without Postgres.
	View taskview.View
	// Shares bound the lists under way of each caller.
	Shares *taskview.Shares
	// Retention is how long a finished task stays in Redis.
	Retention time.Duration
}

// Methods are the methods of the domain task, in the order in which they are documented.
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
		claimMethod,
		command.Made(complete),
		func() (*command.Method, error) { return o.completeManyMethod(complete) },
		o.listMethod,
		getMethod,
		deleteMethod,
	)
}
