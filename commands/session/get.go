package session

import (
	"context"
	"encoding/json"
	"time"

	"github.com/claudebench/claudebench/events"
	"github.com/claudebench/claudebench/internal/answers"
	"github.com/claudebench/claudebench/internal/api"
	"github.com/claudebench/claudebench/internal/breaker"
	"github.com/claudebench/claudebench/internal/command"
	"github.com/claudebench/claudebench/internal/jsontext"
	"github.com/claudebench/claudebench/lua"
)

var getSession = lua.Bind[lua.NoArgs]("get_session")

const (
	// maxSession is the maximum size of a session in bytes: 101 tools, 100 tasks, and its todos,
	// which came in one event.
	maxSession = 1 << 20
	// mcpRecent is the maximum number of recent tasks over MCP, where a model reads them.
	mcpRecent = 20
)

func (o Options) getMethod() (*command.Method, error) {
	return command.New[api.GetSessionParams, api.GetSessionResult](command.Spec{
		Name: "session.get",
		Description: "Read a session of an agent: its instance, prompts, tools, todos and tasks. A session is known from its first hook, " +
			"or from the registration of an instance with its sessionId.",
		Limit:   600,
		Timeout: 10 * time.Second,
		Breaker: breaker.Setting{Failures: 5, Open: 30 * time.Second},
		Roles:   command.Readers,
		Effect:  command.Reads,
	}, o.get)
}

func (o Options) get(ctx context.Context, c *command.Call, p *api.GetSessionParams) (json.RawMessage, error) {
	if err := answers.Reserve(ctx, maxSession); err != nil {
		return nil, err
	}
	var found *api.SessionDetails
	behind, err := command.ReadView(ctx, c, getSession, o.View, o.Shares, func() (at events.ID, err error) {
		found, at, err = o.View.Session(ctx, string(p.ID))
		return at, err
	})
	switch {
	case err != nil:
		return nil, err
	case found == nil:
		return nil, &api.Error{Code: api.CodeNotFound, Message: "Not found", Data: missing{p.ID, behind}}
	}
	result := api.GetSessionResult{SessionDetails: *found, Behind: behind}
	if c.MCP {
		result.Tasks.Recent = result.Tasks.Recent[:min(len(result.Tasks.Recent), mcpRecent)]
	}
	return jsontext.Marshal(result)
}

// missing is the data of the error for a session that the view does not have.
type missing struct {
	ID     api.ID      `json:"id"`
	Behind *api.Behind `json:"behind,omitempty"`
}
