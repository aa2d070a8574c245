package projections

import "github.com/claudebench/claudebench/internal/api"

// Gathered joins batches as the runner does while the log is busy.
var Gathered = gathered

// EventsSQL returns the statement of a page of events, and its arguments.
func (x *Events) EventsSQL(q api.EventQuery) (string, []any) {
	sql, args := eventsSQL(q)
	return x.sql(sql), args
}

// RebuiltColumns returns the columns that rebuilds compare, as table.column, each with "json" if it has
// no equality.
func RebuiltColumns() map[string]string {
	columns := map[string]string{}
	for _, t := range append(tasksTables, eventsTables...) {
		for _, column := range t.columns {
			columns[t.name+"."+column] = ""
		}
		for _, column := range t.json {
			columns[t.name+"."+column] = "json"
		}
	}
	return columns
}
