// Package hook is the domain of what agents' programs report by hooks. Each method hook.* has one
// file, named after it, with the method's params, result, limits and script. Package commands lists
// its Methods; internal/hooks calls hook.record for the hooks that arrive over HTTP.
//
// The methods return the errors of their scripts. If Redis is unavailable, every method fails; that
// of Postgres does not matter.
package hook

import (
	"time"

	"github.com/claudebench/claudebench/internal/claudehook"
	"github.com/claudebench/claudebench/internal/command"
)

// Options configure the methods.
type Options struct {
	// Content is how much of a hook's content is stored.
	Content claudehook.Level
	// Retention is how long a session's todos are kept after their last change.
	Retention time.Duration
}

// Methods returns the methods of the domain hook, in the order in which they are documented.
func Methods(o Options) ([]*command.Method, error) {
	return command.Collect(o.recordMethod)
}
