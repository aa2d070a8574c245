// Package taskview says what commands need of the view of tasks in Postgres: reading it, and
// emptying it in a flush. The projection of tasks implements View and Rows; commands only know
// these.
package taskview

import (
	"context"
	"encoding/json"
	"errors"
	"time"

	"github.com/claudebench/claudebench/internal/api"
)

// View is a view of the tasks, derived from the log, that is a little behind it.
type View interface {
	// WaitFor waits until the view has the event of this seq, at most for the time given. It
	// returns "", or the view's checkpoint if it still lacks the event.
	WaitFor(ctx context.Context, seq int64, atMost time.Duration) (behindAt string, err error)
	// List returns the tasks that match, each as a task object, and how many match in all.
	List(ctx context.Context, q api.TaskQuery) (tasks []json.RawMessage, total int, err error)
	// Checkpoint returns the ID of the last event that the view has, which shows that it can be
	// read.
	Checkpoint(ctx context.Context) (string, error)
}

// ErrPageTooLarge is what a TaskView answers when the tasks of a page hold more than it gives at
// once.
var ErrPageTooLarge = errors.New("the page is too large")

// ErrBusy is the error of a call that waited for its turn, and of a view whose connections were all
// in use for as long as the caller could wait. It tells nothing of Postgres.
var ErrBusy = errors.New("all connections to the task view are in use")

// ErrUnavailable is what a TaskView answers when its store cannot be reached.
var ErrUnavailable = errors.New("task view unavailable")

// Rows are the rows of the task view, as a flush deals with them. Its errors wrap
// ErrViewUnavailable when the store cannot be reached.
type Rows interface {
	// Position is the last event that the view has applied, and when that happened in ms.
	Position(ctx context.Context) (seq, at int64, err error)
	// Flush deletes all rows and notes their number under the flush's id, all or nothing, if the
	// view has applied upTo. Its error wraps ErrRowsKept when they were certainly not deleted.
	Flush(ctx context.Context, id string, upTo int64) (tasks int64, err error)
	// Decide reports whether the rows were deleted under that id. When they were not, they never
	// will be.
	Decide(ctx context.Context, id string) (tasks int64, deleted bool, err error)
}

// ErrRowsKept is what TaskRows.Flush answers when nothing was deleted, and will not be by that
// call.
var ErrRowsKept = errors.New("the rows are kept")

// APIError is what a caller is told of a view's error.
func APIError(err error) error {
	if errors.Is(err, ErrPageTooLarge) {
		return api.InvalidParams("limit parameter: the tasks of this page hold more than 16 MiB; ask for fewer at once")
	}
	if errors.Is(err, ErrBusy) {
		return api.InternalBecause(api.PostgresUnavailable, "every connection is in use; try again in a second")
	}
	if errors.Is(err, ErrUnavailable) || errors.Is(err, context.DeadlineExceeded) {
		return api.Internal(api.PostgresUnavailable)
	}
	return err
}

// ErrNotConfigured is the error of a call that needs Postgres where none is configured. Callers are
// answered "Postgres unavailable"; no circuit counts it.
var ErrNotConfigured = errors.New("no Postgres is configured")
