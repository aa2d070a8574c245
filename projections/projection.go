// Package projections folds the log into read models: the global state and the metrics in Redis,
// and the task views in Postgres. The coordinator's main program creates the three and passes them
// to a Runner. task.list reads through Tasks. verify compares them with its own fold.
//
// Each projection keeps a checkpoint, the ID of the last event it has applied. It writes the
// checkpoint in the same transaction as the changes of that event, and only if the stored
// checkpoint is the one that the batch started from. Any number of coordinators may therefore run
// the same projection, concurrently or in turns, and no event counts twice. The Runner's lease only
// avoids duplicate work.
//
// When Redis is unavailable, all projections stop; they continue from their checkpoints when it is
// back. When Postgres is unavailable, only the task views stop. A projection never reads the write
// model, a clock or another projection: deleted and folded again from the log, it comes out equal.
package projections

import (
	"context"
	"errors"
	"fmt"

	"github.com/claudebench/claudebench/events"
)

// ErrCheckpointMoved is wrapped by the error of Apply if the stored checkpoint is not the one that
// the batch starts from: another coordinator applied it first, or the projection was reset. Nothing
// was written. The caller reads the checkpoint again and continues from there.
var ErrCheckpointMoved = errors.New("the projection's checkpoint has changed")

// Projection is a fold of the log with a checkpoint. Its methods are safe for concurrent use, even
// from several processes.
type Projection interface {
	// Name returns the projection's name in leases, checkpoints and status.
	Name() string
	// Prepare creates what the store needs. It may be repeated and is then cheap.
	Prepare(ctx context.Context) error
	// Checkpoint returns the last event applied, or the zero ID if there is none yet.
	Checkpoint(ctx context.Context) (events.ID, error)
	// Apply folds a batch and moves the checkpoint from batch.After to its last entry, all or
	// nothing. Entries with Err set only move the checkpoint. The error wraps ErrCheckpointMoved if
	// batch.After is not the checkpoint, and events.ErrMalformed, events.ErrUnknownType or
	// events.ErrUnknownVersion if an event cannot be folded. Any other error is the store's, and
	// the batch may be tried again.
	Apply(ctx context.Context, batch events.Batch) error
	// Reset deletes the checkpoint and what can be folded again from a log whose first event is
	// base.
	Reset(ctx context.Context, base int64) error
}

// moved returns an error that says where the checkpoint is and where the batch begins.
func moved(name string, after events.ID, stored string) error {
	return fmt.Errorf("apply a batch after %[2]s to %[1]s, whose checkpoint is %[3]q: %[4]w", name, after, stored, ErrCheckpointMoved)
}

// foldAll folds every event of a batch, in order. An event that this program does not know is an
// error even if the fold would ignore its payload, because it cannot know what a newer program
// means by it.
func foldAll(name string, batch events.Batch, add func(*events.Envelope, *fact) error) error {
	facts := factsOf(batch)
	for i := range batch.Entries {
		entry := &batch.Entries[i]
		if entry.Err != nil {
			continue
		}
		err := facts[i].err
		if facts[i].known {
			err = add(&entry.Envelope, &facts[i])
		}
		if err != nil {
			return fmt.Errorf("fold %s %s into %s: %w", entry.Envelope.Type, entry.ID, name, err)
		}
	}
	return nil
}

// previously is the part of an assignment's payload that says where the task was before. Structs
// such as this one name only what a fold needs, because fewer members decode faster.
type previously struct {
	PreviousStatus     string  `json:"previousStatus"`
	PreviousAssignment *string `json:"previousAssignment"`
	Reason             string  `json:"reason"`
}

// assigned reports whether the task was assigned, but not claimed, until this event. An assignment
// names the last owner even if the task has waited in the queue since then. In that case the reason
// says whether this event took it from that owner.
func (f *fact) assigned(what events.Type) bool {
	if f.PreviousStatus != events.StatusPending {
		return false
	}
	switch what {
	case events.TypeTaskAssigned:
		return f.Reason == events.ReasonRebalanced || f.Reason == events.ReasonRolesChanged
	case events.TypeTaskCancelled:
		return f.WorkerID != ""
	}
	return f.PreviousAssignment != nil
}

// statusAfter returns the status of a task after an event. The type alone says it, unless several
// are possible.
func statusAfter(what events.Type, f *fact) string {
	switch what {
	case events.TypeTaskAssigned, events.TypeTaskUnassigned:
		return events.StatusPending
	case events.TypeTaskClaimed:
		return events.StatusInProgress
	case events.TypeTaskCompleted:
		return events.StatusCompleted
	case events.TypeTaskFailed:
		return events.StatusFailed
	case events.TypeTaskRetried:
		return events.StatusScheduled
	case events.TypeTaskCancelled:
		return events.StatusCancelled
	}
	return f.Status
}
