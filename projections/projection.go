// Package projections folds the log into what is read elsewhere: the global state and the metrics
// in Redis, the task views in Postgres. The coordinator's main program builds the three and hands
// them to a Runner; task.list reads through Tasks; verify compares them with a fold of its own.
//
// Each projection keeps a checkpoint, the ID of the last event it has applied, and writes it in the
// same transaction as what that event changed, comparing it with the one that the batch started
// from. So any number of coordinators may run the same projection, at the same time or in turns,
// and no event counts twice. The Runner's lease only spares them the work.
//
// When Redis is away nothing moves, and everything goes on from its checkpoint when it is back.
// When Postgres is away only the task views stand still. A projection never reads the write model,
// a clock or another projection: dropped and folded again from the log, it comes out equal.
package projections

import (
	"context"
	"errors"
	"fmt"

	"github.com/claudebench/claudebench/events"
)

// ErrCheckpointMoved is wrapped by Apply's error when the stored checkpoint is not the one that the
// batch starts from: another coordinator was here first, or the projection was reset. Nothing was
// written. Who gets it reads the checkpoint again and goes on from there.
var ErrCheckpointMoved = errors.New("the projection's checkpoint has moved")

// Projection is a fold of the log with a checkpoint. Its methods are safe for concurrent use, also
// from several processes.
type Projection interface {
	// Name is what the projection is called in leases, checkpoints and status.
	Name() string
	// Prepare makes the store ready, creating what it needs. It may be repeated, and is cheap then.
	Prepare(ctx context.Context) error
	// Checkpoint is the last event applied; the zero ID when there is none yet.
	Checkpoint(ctx context.Context) (events.ID, error)
	// Apply folds a batch and moves the checkpoint from batch.After to its last entry, all or
	// nothing. Entries that are no events (Err is set) change nothing but the checkpoint. The error
	// wraps ErrCheckpointMoved if batch.After is not the checkpoint, events.ErrMalformed,
	// events.ErrUnknownType or events.ErrUnknownVersion if an event cannot be folded; any other is
	// the store's, and the batch may be tried again.
	Apply(ctx context.Context, batch events.Batch) error
	// Reset forgets what can be folded again from a log whose first event is base, and the
	// checkpoint.
	Reset(ctx context.Context, base int64) error
}

// moved says where the checkpoint is instead of where the batch begins.
func moved(name string, after events.ID, stored string) error {
	return fmt.Errorf("apply to %s after %s, which is at %q: %w", name, after, stored, ErrCheckpointMoved)
}

// foldAll returns a fold every event of a batch, in order. An event that this program does not know
// is an error even where the fold would not read its payload: what a newer program means by it
// cannot be guessed.
func foldAll(name string, batch events.Batch, add func(events.Envelope) error) error {
	for i := range batch.Entries {
		entry := &batch.Entries[i]
		if entry.Err != nil {
			continue
		}
		err := entry.Envelope.Known()
		if err == nil {
			err = add(entry.Envelope)
		}
		if err != nil {
			return fmt.Errorf("fold %s %s into %s: %w", entry.Envelope.Type, entry.ID, name, err)
		}
	}
	return nil
}

// previously is the part of an assignment's event that tells where the task was before. The structs
// of this kind name only what a fold needs, because fewer members decode faster.
type previously struct {
	PreviousStatus     string  `json:"previousStatus"`
	PreviousAssignment *string `json:"previousAssignment"`
	Reason             string  `json:"reason"`
}

// assigned reports whether the task was assigned to somebody until this event, and waited to be
// claimed. An assignment names who had the task last, also when it has waited for a worker since:
// there the reason tells whether it was taken from somebody just now.
func (p previously) assigned(what events.Type) bool {
	if p.PreviousStatus != events.StatusPending {
		return false
	}
	if what == events.TypeTaskAssigned {
		return p.Reason == events.ReasonRebalanced || p.Reason == events.ReasonRolesChanged
	}
	return p.PreviousAssignment != nil
}

// membership is the part of an instance's event that tells who came or went, and as what.
type membership struct {
	ID            string   `json:"id"`
	Roles         []string `json:"roles"`
	PreviousRoles []string `json:"previousRoles"`
}
