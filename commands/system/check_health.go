package system

import (
	"context"
	"encoding/json"
	"fmt"
	"time"

	"github.com/google/jsonschema-go/jsonschema"

	"github.com/claudebench/claudebench/internal/api"
	"github.com/claudebench/claudebench/internal/breaker"
	"github.com/claudebench/claudebench/internal/command"
	"github.com/claudebench/claudebench/internal/jsontext"
	"github.com/claudebench/claudebench/internal/params"
	"github.com/claudebench/claudebench/internal/reassign"
)

// maxHealthy is the maximum number of live instances that system.check_health lists.
const maxHealthy = 1000

func (o Options) checkHealthMethod() (*command.Method, error) {
	return command.New[api.CheckHealthParams, api.CheckHealthResult](command.Spec{
		Name: "system.check_health",
		Description: "Declare instances dead that have been silent for too long, and return their tasks to live workers or to the queue. " +
			"Lists at most 1,000 healthy ones.",
		Limit:   100,
		Timeout: 5 * time.Second,
		Breaker: breaker.Setting{Failures: 5, Open: 30 * time.Second},
		Roles:   command.Writers,
		Effect:  command.Sets,
		Refine: func(p map[string]*jsonschema.Schema) {
			params.Between(p["timeout"], 0, jsontext.MaxInteger)
		},
	}, o.checkHealth)
}

// checkHealth returns what the check did even if the rest of it failed, because an error would mean
// that nothing changed.
func (o Options) checkHealth(ctx context.Context, c *command.Call, p *api.CheckHealthParams) (json.RawMessage, error) {
	timeout := o.InstanceTTL.Milliseconds()
	if p.Timeout != nil {
		timeout = int64(*p.Timeout)
	}
	if ttl := o.InstanceTTL.Milliseconds(); timeout < ttl && c.Agent() != "" {
		return nil, api.Unauthorized(fmt.Sprintf("a timeout below the instance TTL of %d ms needs the role operator or admin", ttl))
	}
	result, err := o.Reassigner.Sweep(ctx, reassign.SweepOptions{
		Context: c.EventContext("", c.Cause), Subject: c.Subject(""), Limit: c.Limit(), Timeout: timeout, Healthy: maxHealthy,
	})
	if err != nil && !result.Incomplete {
		return nil, err
	}
	if err != nil {
		o.Logger.WarnContext(ctx, "a check of the instances ended early; the monitor continues it", "error", err)
	}
	return json.Marshal(result)
}
