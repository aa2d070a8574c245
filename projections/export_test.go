package projections

import "github.com/claudebench/claudebench/internal/api"

// Gathered joins batches as the runner does while the log is busy.
var Gathered = gathered

// EventsSQL returns the statement of a page of events, and its arguments.
func (x *Events) EventsSQL(q api.EventQuery) (string, []any) {
	sql, args := eventsSQL(q)
	return x.sql(sql), args
}
