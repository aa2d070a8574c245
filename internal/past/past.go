// Package past defines what commands need to answer about the past: the fleet as the log says that it
// stood at a position, and what changed between two positions. Commands depend only on this interface,
// because the fold of the log reads the projections; the server passes an implementation in.
package past

import (
	"context"
	"time"

	"github.com/claudebench/claudebench/internal/api"
	"github.com/claudebench/claudebench/internal/position"
)

// Timeout is how long a call may fold the log.
const Timeout = 30 * time.Second

// MaxAnswer is the maximum size of an answer in bytes: half a MiB for each list, and the JSON around it.
const MaxAnswer = 8 << 20

// Limit is the maximum number of entries of each list, and the default.
const Limit = 200

// Reader folds the log. Its errors that a caller can do something about are *api.Error.
type Reader interface {
	// State returns the state of the fleet at a position. Each list has at most limit entries.
	State(ctx context.Context, at position.Position, limit int) (*api.PastState, error)
	// Diff returns what changed between two positions. Each list has at most limit entries.
	Diff(ctx context.Context, from, to position.Position, limit int) (*api.PastDiff, error)
}

// Unavailable is the Reader of a coordinator that cannot read the past.
type Unavailable struct{}

// State returns an error.
func (Unavailable) State(context.Context, position.Position, int) (*api.PastState, error) {
	return nil, errUnavailable
}

// Diff returns an error.
func (Unavailable) Diff(context.Context, position.Position, position.Position, int) (*api.PastDiff, error) {
	return nil, errUnavailable
}

var errUnavailable = api.InvalidParams("this coordinator cannot read the past; call claudebench state or diff where Redis can be reached")
