// Package audit is the domain of the log itself: verifying it against everything that is stored,
// and what it holds. Package commands lists its Methods.
//
// The methods return the errors of their scripts if Redis is unavailable. They do not need Postgres:
// a verification without it reports that the views could not be read.
package audit

import (
	"github.com/claudebench/claudebench/internal/command"
	"github.com/claudebench/claudebench/internal/past"
	"github.com/claudebench/claudebench/internal/verification"
)

// Options configure the methods.
type Options struct {
	Verifier *verification.Verifier
	// Past folds the log for audit.diff.
	Past past.Reader
}

// Methods returns the methods of the domain audit, in the order in which they are documented.
func Methods(o Options) ([]*command.Method, error) {
	return command.Collect(o.verifyMethod, o.statusMethod, o.diffMethod)
}
