package session

import (
	"context"
	"encoding/json"
	"strconv"
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

var listSessions = lua.Bind[lua.NoArgs]("list_sessions")

const (
	defaultPage = 50
	mcpPage     = 20 // over MCP, where a model reads it
	maxPage     = 100
	// maxListed is the maximum size of a session in a list in bytes: three ids, escaped, and numbers.
	maxListed = 8 << 10
)

func (o Options) listMethod() (*command.Method, error) {
	return command.New[api.ListSessionsParams, api.ListSessionsResult](command.Spec{
		Name:        "session.list",
		Description: "List sessions of agents, the newest activity first. session.get reads one.",
		Limit:       600,
		Timeout:     10 * time.Second,
		Breaker:     breaker.Setting{Failures: 5, Open: 30 * time.Second},
		Roles:       command.Readers,
		Effect:      command.Reads,
		Refine: func(p map[string]*jsonschema.Schema) {
			params.Between(p["limit"], 1, maxPage)
			p["cursor"].Pattern = `^[1-9][0-9]{0,15}$`
		},
	}, o.list)
}

func (o Options) list(ctx context.Context, c *command.Call, p *api.ListSessionsParams) (json.RawMessage, error) {
	q := api.SessionQuery{InstanceID: string(p.InstanceID), Active: p.Active, Limit: defaultPage}
	switch {
	case p.Limit != nil:
		q.Limit = *p.Limit
	case c.MCP:
		q.Limit = mcpPage
	}
	if p.Cursor != "" {
		var err error
		if q.Before, err = strconv.ParseInt(p.Cursor, 10, 64); err != nil {
			return nil, api.InvalidParams("cursor parameter: it is not the nextCursor of a page")
		}
	}
	if err := answers.Reserve(ctx, int64(q.Limit)*maxListed); err != nil {
		return nil, err
	}
	var page taskview.SessionPage
	behind, err := command.ReadView(ctx, c, listSessions, o.View, o.Shares, func() (events.ID, error) {
		var err error
		page, err = o.View.Sessions(ctx, q)
		return page.At, err
	})
	if err != nil {
		return nil, err
	}
	result := api.ListSessionsResult{Sessions: page.Sessions, Behind: behind}
	if page.Next != 0 {
		result.NextCursor = strconv.FormatInt(page.Next, 10)
	}
	return jsontext.Marshal(result)
}
