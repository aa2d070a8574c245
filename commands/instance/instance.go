// Package instance is the domain of instances as the index of events knows them, also after they have
// left. Package commands lists its Methods.
//
// The methods return the errors of their scripts if Redis is unavailable, and fail if Postgres is, or
// if the coordinator keeps no index.
package instance

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

// Methods returns the methods of the domain instance, in the order in which they are documented.
func Methods(o Options) ([]*command.Method, error) {
	return command.Collect(o.historyMethod)
}
