package task

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"github.com/google/jsonschema-go/jsonschema"

	"github.com/claudebench/claudebench/events"
	"github.com/claudebench/claudebench/internal/answers"
	"github.com/claudebench/claudebench/internal/api"
	"github.com/claudebench/claudebench/internal/breaker"
	"github.com/claudebench/claudebench/internal/command"
	"github.com/claudebench/claudebench/internal/jsontext"
	"github.com/claudebench/claudebench/internal/params"
	"github.com/claudebench/claudebench/internal/taskview"
	"github.com/claudebench/claudebench/lua"
)

var listTasks = lua.Bind[lua.NoArgs]("list_tasks")

const (
	defaultPage = 100
	mcpPage     = 20 // over MCP, where a model reads it
	maxPage     = 1000
	// maxTask is the maximum size of a task object in bytes: metadata of 1 MiB, a result and an error
	// that arrived in one request body, progress of 16 KiB, and the last errors and the options.
	maxTask = 2<<20 + 64<<10
	// maxList is the maximum size of the tasks of a page in bytes. listCopies is the number of
	// their copies in memory while the answer is built: rows, task objects, and the answer itself.
	maxList    = 16<<20 + maxTask
	listCopies = 3
)

func (o Options) listMethod() (*command.Method, error) {
	return command.New[api.ListTasksParams, api.ListTasksResult](command.Spec{
		Name: "task.list",
		Description: "List tasks from the view in Postgres; behind is set if it lags behind the log. Pages by offset may overlap while tasks change; " +
			"those by cursor do not. Two lists of a caller run at once; more wait up to three seconds.",
		Limit:   600,
		Timeout: 10 * time.Second,
		Breaker: breaker.Setting{Failures: 5, Open: 30 * time.Second},
		Roles:   command.Readers,
		Effect:  command.Reads,
		// People search; models would read their descriptions in each session.
		MCPHidden: []string{
			"statuses", "role", "text", "error", "metadata", "createdAfter", "createdBefore", "updatedAfter", "updatedBefore", "cursor",
		},
		Refine: func(p map[string]*jsonschema.Schema) {
			refineFilter(p)
			params.Between(p["limit"], 1, maxPage)
			params.Between(p["offset"], 0, jsontext.MaxInteger)
			p["cursor"].Pattern = cursorPattern
			params.Enum(p["orderBy"], api.TaskOrders...)
			params.Enum(p["order"], "asc", "desc")
		},
	}, o.list)
}

// search reads a page. A search for a role, a text, an error or metadata reads every task that the
// other filters leave, so it may take long. It gets less time than the call, so that a search that
// takes too long does not look like an outage of Postgres, which would open the circuit breaker for
// all callers.
func search(ctx context.Context, view taskview.View, q api.TaskQuery, timeout time.Duration) (taskview.Page, error) {
	param := searches(&q.TaskFilter)
	if param == "" {
		return view.List(ctx, q)
	}
	brief, cancel := context.WithTimeout(ctx, timeout*4/5)
	defer cancel()
	page, err := view.List(brief, q)
	if err != nil && brief.Err() != nil && ctx.Err() == nil && !errors.Is(err, taskview.ErrBusy) {
		return page, api.InvalidParams(fmt.Sprintf("%s parameter: the search took longer than %s; add status, assignedTo or priority", param, timeout*4/5))
	}
	return page, err
}

// queryOf returns the query that params describe, and the position that they continue from.
func queryOf(c *command.Call, p *api.ListTasksParams) (q api.TaskQuery, from cursor, err error) {
	q = api.TaskQuery{Limit: defaultPage, OrderBy: cmp.Or(p.OrderBy, "createdAt"), Descending: p.Order != "asc", Offset: params.Or(p.Offset, 0)}
	if q.TaskFilter, err = filterOf("", p.Filter()); err != nil {
		return q, from, err
	}
	switch {
	case p.Limit != nil:
		q.Limit = *p.Limit
	case c.MCP:
		q.Limit = mcpPage
	}
	if p.Cursor == "" {
		return q, from, nil
	}
	switch {
	case p.Offset != nil:
		return q, from, api.InvalidParams("cursor parameter: it cannot be together with offset")
	case q.OrderBy != "createdAt":
		return q, from, api.InvalidParams("cursor parameter: only a list by createdAt has one, because tasks change their places in the other orders")
	}
	if from, err = cursorFrom(p.Cursor, q); err != nil {
		return q, from, err
	}
	q.Cursor = from.num
	return q, from, nil
}

func (o Options) list(ctx context.Context, c *command.Call, p *api.ListTasksParams) (json.RawMessage, error) {
	q, from, err := queryOf(c, p)
	if err != nil {
		return nil, err
	}
	var page taskview.Page
	reserved := false
	behind, err := command.ReadView(ctx, c, listTasks, o.View, o.Shares, func() (events.ID, error) {
		if !reserved {
			if err := answers.Reserve(ctx, listCopies*int64(min(q.Limit*maxTask, maxList))); err != nil {
				return events.ID{}, err
			}
			reserved = true
		}
		var err error
		page, err = search(ctx, o.View, q, c.Timeout())
		return page.At, err
	})
	if err != nil {
		return nil, err
	}
	size := 64 // the text around the tasks
	for _, t := range page.Tasks {
		size += len(t) + 1
	}
	out := append(make([]byte, 0, size), `{"tasks":[`...)
	for i, t := range page.Tasks {
		if i > 0 {
			out = append(out, ',')
		}
		out = append(out, t...)
	}
	total, more := page.Total, q.Offset+len(page.Tasks) < page.Total
	if q.Cursor != 0 {
		total, more = from.total, page.Next != 0
	}
	out = fmt.Appendf(out, `],"totalCount":%d,"hasMore":%t`, total, more)
	if page.Next != 0 {
		next, err := cursor{page.Next, total}.text(q)
		if err != nil {
			return nil, err
		}
		out = fmt.Appendf(out, `,"nextCursor":%q`, next)
	}
	if behind != nil {
		out = fmt.Appendf(out, `,"behind":{"events":%d,"ms":%d}`, behind.Events, behind.MS)
	}
	return append(out, '}'), nil
}
