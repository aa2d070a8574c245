package audit

import (
	"context"
	"encoding/json"
	"time"

	"github.com/google/jsonschema-go/jsonschema"

	"github.com/claudebench/claudebench/internal/answers"
	"github.com/claudebench/claudebench/internal/api"
	"github.com/claudebench/claudebench/internal/breaker"
	"github.com/claudebench/claudebench/internal/command"
	"github.com/claudebench/claudebench/internal/jsontext"
	"github.com/claudebench/claudebench/internal/params"
	"github.com/claudebench/claudebench/internal/past"
	"github.com/claudebench/claudebench/internal/position"
	"github.com/claudebench/claudebench/lua"
)

var readAuditDiff = lua.Bind[lua.NoArgs]("read_audit_diff")

func (o Options) diffMethod() (*command.Method, error) {
	return command.New[api.DiffParams, api.PastDiff](command.Spec{
		Name: "audit.diff",
		Description: "Read what changed between two moments of the log: up to 200 tasks, instances and others each, and the totals. The " +
			"coordinator folds the log for it, one call at a time, for at most 30 seconds and in at most about 128 MiB.",
		Limit:   10,
		Timeout: past.Timeout,
		Breaker: breaker.Setting{Failures: 5, Open: 30 * time.Second},
		Roles:   command.Auditors,
		Effect:  command.Reads,
		Hidden:  true,
		Refine: func(p map[string]*jsonschema.Schema) {
			p["from"].MaxLength, p["to"].MaxLength = new(position.MaxLength), new(position.MaxLength)
			params.Between(p["limit"], 1, past.Limit)
		},
	}, o.diff)
}

func (o Options) diff(ctx context.Context, c *command.Call, p *api.DiffParams) (json.RawMessage, error) {
	from, err := position.Parse(p.From)
	if err != nil {
		return nil, api.InvalidParams("from parameter: " + err.Error())
	}
	to, err := position.Parse(p.To)
	if err != nil {
		return nil, api.InvalidParams("to parameter: " + err.Error())
	}
	// The script counts the call. The fold reads the log by itself.
	if _, err := command.Run(ctx, c, readAuditDiff, "", lua.NoArgs{}); err != nil {
		return nil, err
	}
	if err := answers.Reserve(ctx, past.MaxAnswer); err != nil {
		return nil, err
	}
	diff, err := o.Past.Diff(ctx, from, to, params.Or(p.Limit, past.Limit))
	if err != nil {
		return nil, err
	}
	return jsontext.Marshal(diff)
}
