// Package event is the domain of events. Each method event.* has one file, named after it, with the
// method's params, result, limits and script. Package commands lists its Methods.
//
// The methods return the errors of their scripts if Redis is unavailable. event.get reads the log;
// the others read the index of events, and fail if Postgres is unavailable, or if the coordinator
// keeps no index.
package event

import (
	"github.com/claudebench/claudebench/internal/command"
	"github.com/claudebench/claudebench/internal/taskview"
)

// Options configure the methods.
type Options struct {
	// Index is the index of events. Nil means no Postgres.
	Index taskview.EventIndex
	// Shares limits the concurrent reads of each caller, together with task.list.
	Shares *taskview.Shares
}

// Methods returns the methods of the domain event, in the order in which they are documented.
func Methods(o Options) ([]*command.Method, error) {
	return command.Collect(getMethod, o.listMethod)
}
