package command

import (
	"context"
	"encoding/json"
	"fmt"
	"strconv"

	"github.com/google/jsonschema-go/jsonschema"

	"github.com/claudebench/claudebench/events"
	"github.com/claudebench/claudebench/internal/answers"
	"github.com/claudebench/claudebench/internal/api"
	"github.com/claudebench/claudebench/internal/params"
	"github.com/claudebench/claudebench/internal/taskview"
	"github.com/claudebench/claudebench/lua"
)

// MaxEvent is the maximum size of an event in bytes: its payload came in one request body.
const MaxEvent = 2 << 20

const (
	defaultEvents = 100
	maxEvents     = 1000
	// maxEventPage is the maximum size of the events of a page in bytes. eventCopies is the number of
	// their copies in memory while the answer is built: rows, event objects, and the answer itself.
	maxEventPage = 16<<20 + MaxEvent
	eventCopies  = 3
)

// RefineEvents adds to the schema of the params limit, cursor and order what their Go types cannot
// express.
func RefineEvents(p map[string]*jsonschema.Schema) {
	params.Between(p["limit"], 1, maxEvents)
	p["cursor"].Pattern = `^[1-9][0-9]{0,15}$`
	params.Enum(p["order"], "asc", "desc")
}

// ReadEvents is the handler of a method that reads a page of the index of events. limit and cursor
// are the params of the same names, which replace those of the query. It waits for the index as
// ReadView does.
func ReadEvents(ctx context.Context, c *Call, script lua.Bound[lua.NoArgs], index taskview.EventIndex, shares *taskview.Shares,
	limit *int, cursor string, q api.EventQuery,
) (json.RawMessage, error) {
	q.Limit = params.Or(limit, defaultEvents)
	if cursor != "" {
		var err error
		if q.Cursor, err = strconv.ParseInt(cursor, 10, 64); err != nil {
			return nil, api.InvalidParams("cursor parameter: it is not the nextCursor of a page")
		}
	}
	var page taskview.EventPage
	reserved := false
	behind, err := ReadView(ctx, c, script, index, shares, func() (events.ID, error) {
		if !reserved {
			if err := answers.Reserve(ctx, eventCopies*int64(min(q.Limit*MaxEvent, maxEventPage))); err != nil {
				return events.ID{}, err
			}
			reserved = true
		}
		var err error
		page, err = index.Events(ctx, q)
		return page.At, err
	})
	if err != nil {
		return nil, err
	}
	size := 128 // the text around the events
	for _, e := range page.Events {
		size += len(e) + 1
	}
	out := append(make([]byte, 0, size), `{"events":[`...)
	for i, e := range page.Events {
		if i > 0 {
			out = append(out, ',')
		}
		out = append(out, e...)
	}
	out = append(out, ']')
	if page.Next != 0 {
		out = fmt.Appendf(out, `,"nextCursor":"%d"`, page.Next)
	}
	if behind != nil {
		out = fmt.Appendf(out, `,"behind":{"events":%d,"ms":%d}`, behind.Events, behind.MS)
	}
	return append(out, '}'), nil
}
