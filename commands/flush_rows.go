package commands

import (
	"context"
	"errors"
)

// TaskRows are the rows of the task view, as a flush deals with them. Its errors wrap ErrViewUnavailable
// when the store cannot be reached.
type TaskRows interface {
	// Position is the last event that the view has applied, and when that happened in ms.
	Position(ctx context.Context) (seq, at int64, err error)
	// Flush deletes all rows and notes their number under the flush's id, all or nothing, if the view has
	// applied upTo. Its error wraps ErrRowsKept when they were certainly not deleted.
	Flush(ctx context.Context, id string, upTo int64) (tasks int64, err error)
	// Decide tells whether the rows were deleted under that id. When they were not, they never will be.
	Decide(ctx context.Context, id string) (tasks int64, deleted bool, err error)
}

// ErrRowsKept is what TaskRows.Flush answers when nothing was deleted, and will not be by that call.
var ErrRowsKept = errors.New("the rows are kept")
