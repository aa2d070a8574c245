package commands

import (
	"context"
	"encoding/json"
	"time"

	"github.com/google/jsonschema-go/jsonschema"

	"github.com/claudebench/claudebench/internal/api"
)

// FlushParams are the params of system.flush.
type FlushParams struct {
	Confirm         string `json:"confirm" jsonschema:"must be exactly FLUSH_ALL_DATA"`
	IncludePostgres *bool  `json:"includePostgres,omitempty" jsonschema:"delete the task view's rows too; true when left out"`
}

// flushConfirmation is what the caller has to say.
const flushConfirmation = "FLUSH_ALL_DATA"

func (o SystemOptions) systemFlush() (*Method, error) {
	return method[FlushParams, FlushResult](spec{
		name: "system.flush",
		description: "DANGER: delete all data of ClaudeBench in Redis, and the task rows in Postgres unless includePostgres is false. " +
			"It cannot be undone. While it runs other commands get a conflict. Once a minute for all callers together.",
		limit:   1,
		timeout: 10 * time.Minute,
		breaker: Breaker{Failures: 3, Open: time.Minute},
		roles:   admins,
		effect:  Destroys,
		hidden:  true,
		refine: func(p map[string]*jsonschema.Schema) {
			p["confirm"].Const = new(any(flushConfirmation))
		},
	}, o.flush)
}

// flush starts a flush. Once it has begun it goes to its end, whether or not the caller waits for it.
func (o SystemOptions) flush(ctx context.Context, c *call, p *FlushParams) (json.RawMessage, error) {
	include := p.IncludePostgres == nil || *p.IncludePostgres
	if o.Flusher.Rows == nil && p.IncludePostgres != nil && include {
		return nil, api.Internal(api.PostgresUnavailable) // it was asked for, and there is none
	}
	result, err := o.Flusher.flush(ctx, flushOrder{
		context: c.context("", c.Cause), limit: c.limit(), include: include, timeout: c.timeout(),
	})
	if err != nil {
		return nil, err
	}
	return json.Marshal(result)
}
