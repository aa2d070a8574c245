// Package session is the domain of agents' sessions: what an agent's hooks, todos and registrations
// say about its work. Package commands lists its Methods.
//
// The methods read the view in Postgres. They return the errors of their scripts if Redis is
// unavailable, and fail if Postgres is.
package session

import (
	"github.com/claudebench/claudebench/internal/command"
	"github.com/claudebench/claudebench/internal/taskview"
)

// Options configure the methods.
type Options struct {
	// View is the view that the methods read. Nil means no Postgres.
	View taskview.View
	// Shares limits the concurrent reads of each caller, together with task.list.
	Shares *taskview.Shares
}

// Methods returns the methods of the domain session, in the order in which they are documented.
func Methods(o Options) ([]*command.Method, error) {
	return command.Collect(o.listMethod, o.getMethod)
}
