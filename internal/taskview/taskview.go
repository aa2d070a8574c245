// Package taskview defines what commands need from the view of tasks and sessions and from the index
// of events in Postgres: reading them, and emptying them in a flush. Commands depend only on these
// interfaces. The projections into Postgres implement them.
package taskview

import (
	"context"
	"encoding/json"
	"errors"
	"time"

	"github.com/claudebench/claudebench/events"
	"github.com/claudebench/claudebench/internal/api"
)

// View is a view of the tasks and of agents' sessions that is derived from the log and slightly
// behind it.
type View interface {
	// WaitFor waits at most atMost until the view has applied an event.
	WaitFor(ctx context.Context, event events.ID, atMost time.Duration) error
	// List returns a page of the matching tasks.
	List(ctx context.Context, q api.TaskQuery) (Page, error)
	// Matching returns the IDs of at most limit matching tasks whose number is greater than after, in
	// the order of their numbers. It reads every task that the filter's indexes leave, so that it may
	// take as long as a List.
	Matching(ctx context.Context, f api.TaskFilter, after int64, limit int) (Matches, error)
	// Sessions returns a page of the matching sessions.
	Sessions(ctx context.Context, q api.SessionQuery) (SessionPage, error)
	// Session returns a session, nil if the view does not have it, and the last event that the view
	// had applied.
	Session(ctx context.Context, id string) (*api.SessionDetails, events.ID, error)
	// Checkpoint returns the ID of the last event that the view has applied. It fails if the view
	// cannot be read.
	Checkpoint(ctx context.Context) (string, error)
}

// Page is a page of tasks as the view had them at one moment.
type Page struct {
	Tasks []json.RawMessage // a task object each
	Total int               // number of matches; 0 for a query with a cursor
	Next  int64             // continues the list as TaskQuery.Cursor; 0 if there are no more, or not in this order
	At    events.ID         // the last event that the view had applied
}

// Matches are the first tasks behind a number that match a filter.
type Matches struct {
	IDs  []string  // fewer than asked for if there are no more
	Last int64     // the number of the last of them, behind which to continue; 0 if there are none
	At   events.ID // the last event that the view had applied
}

// SessionPage is a page of sessions as the view had them at one moment.
type SessionPage struct {
	Sessions []api.Session
	Next     int64     // continues the list as SessionQuery.Before; 0 if there are no more
	At       events.ID // the last event that the view had applied
}

// ErrPageTooLarge is the error of View.List when the tasks of a page exceed the maximum size of an
// answer.
var ErrPageTooLarge = errors.New("the page is too large")

// ErrBusy is the error of a call that waited too long for its turn, and of a view that had no free
// connection for as long as the caller could wait. It says nothing about the health of Postgres.
var ErrBusy = errors.New("all connections to the task view are in use")

// ErrUnavailable is the error of a View whose store cannot be reached.
var ErrUnavailable = errors.New("task view unavailable")

// EventIndex is the index of events that is derived from the log and slightly behind it.
type EventIndex interface {
	// WaitFor waits at most atMost until the index has applied an event.
	WaitFor(ctx context.Context, event events.ID, atMost time.Duration) error
	// Events returns a page of the matching events.
	Events(ctx context.Context, q api.EventQuery) (EventPage, error)
	// Checkpoint returns the ID of the last event that the index has applied. It fails if the index
	// cannot be read.
	Checkpoint(ctx context.Context) (string, error)
}

// Checkpoints are the IDs of the last events that the task view and the index of events have applied.
// "" means that it is unknown, or that there is no such projection.
type Checkpoints struct{ Tasks, Events string }

// EventPage is a page of events as the index had them at one moment.
type EventPage struct {
	Events []json.RawMessage // an event object each
	Next   int64             // continues the list as EventQuery.Cursor; 0 if there are no more
	At     events.ID         // the last event that the index had applied
}

// ErrIndexOff is the error of NoIndex. Callers get "Event index off".
var ErrIndexOff = errors.New("the event index is off")

// NoIndex is the EventIndex of a coordinator that keeps none.
type NoIndex struct{}

// WaitFor returns ErrIndexOff.
func (NoIndex) WaitFor(context.Context, events.ID, time.Duration) error { return ErrIndexOff }

// Events returns ErrIndexOff.
func (NoIndex) Events(context.Context, api.EventQuery) (EventPage, error) {
	return EventPage{}, ErrIndexOff
}

// Checkpoint returns ErrIndexOff.
func (NoIndex) Checkpoint(context.Context) (string, error) { return "", ErrIndexOff }

// Rows are the rows of the task view, for a flush. Errors wrap ErrUnavailable if the store cannot
// be reached.
type Rows interface {
	// Position returns the seq of the last event that the view has applied, and the time in ms at
	// which it did.
	Position(ctx context.Context) (seq, at int64, err error)
	// Flush deletes all rows and stores their number under the flush's ID, in one transaction, if
	// the view has applied upTo. The error wraps ErrRowsKept if the rows were certainly not
	// deleted.
	Flush(ctx context.Context, id string, upTo int64) (tasks int64, err error)
	// Decide reports whether the rows were deleted under that ID. If they were not, they never will
	// be.
	Decide(ctx context.Context, id string) (tasks int64, deleted bool, err error)
}

// ErrRowsKept is the error of Rows.Flush if it deleted nothing and never will.
var ErrRowsKept = errors.New("the rows are kept")

// APIError returns the error that a caller gets for an error of the view.
func APIError(err error) error {
	if errors.Is(err, ErrPageTooLarge) {
		return api.InvalidParams("limit parameter: the tasks of this page exceed 16 MiB; use a smaller limit")
	}
	if errors.Is(err, ErrBusy) {
		return api.InternalBecause(api.PostgresUnavailable, "every connection is in use; try again in a second")
	}
	if errors.Is(err, ErrUnavailable) || errors.Is(err, context.DeadlineExceeded) {
		return api.Internal(api.PostgresUnavailable)
	}
	return err
}

// ErrNotConfigured is the error of a call that needs Postgres if none is configured. Callers get
// "Postgres unavailable", and circuit breakers do not count it.
var ErrNotConfigured = errors.New("no Postgres is configured")
