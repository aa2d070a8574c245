package system

import (
	"context"
	"encoding/json"
	"time"

	"github.com/google/jsonschema-go/jsonschema"

	"github.com/claudebench/claudebench/internal/api"
	"github.com/claudebench/claudebench/internal/breaker"
	"github.com/claudebench/claudebench/internal/command"
	"github.com/claudebench/claudebench/internal/flush"
)

// flushConfirmation is the text that the caller must send in confirm.
const flushConfirmation = "FLUSH_ALL_DATA"

func (o Options) flushMethod() (*command.Method, error) {
	return command.New[api.FlushParams, api.FlushResult](command.Spec{
		Name: "system.flush",
		Description: "DANGER: delete all data of ClaudeBench in Redis, and the task rows in Postgres unless includePostgres is false. " +
			"It cannot be undone. While it runs, other commands fail with a conflict. At most once a minute for all callers together.",
		Limit:   1,
		Timeout: 10 * time.Minute,
		Breaker: breaker.Setting{Failures: 3, Open: time.Minute},
		Roles:   command.Admins,
		Effect:  command.Destroys,
		Hidden:  true,
		Refine: func(p map[string]*jsonschema.Schema) {
			p["confirm"].Const = new(any(flushConfirmation))
		},
	}, o.flush)
}

// flush runs a flush. Once the flush has begun, it continues to its end even if the caller is gone.
func (o Options) flush(ctx context.Context, c *command.Call, p *api.FlushParams) (json.RawMessage, error) {
	include := p.IncludePostgres == nil || *p.IncludePostgres
	if o.Flusher.Rows == nil && p.IncludePostgres != nil && include {
		return nil, api.Internal(api.PostgresUnavailable) // the caller asked for Postgres explicitly
	}
	result, err := o.Flusher.Flush(ctx, flush.Order{
		Context: c.EventContext("", c.Cause), Limit: c.Limit(), Include: include, Timeout: c.Timeout(),
	})
	if err != nil {
		return nil, err
	}
	return json.Marshal(result)
}
