package commands

import (
	"context"
	"encoding/json"
	"fmt"
	"time"

	"github.com/google/jsonschema-go/jsonschema"

	"github.com/claudebench/claudebench/internal/api"
)

// CheckHealthParams are the params of system.check_health.
type CheckHealthParams struct {
	Timeout *int `json:"timeout,omitempty" jsonschema:"ms of silence after which an instance is dead; the instance TTL when left out, and a shorter one needs the role operator"`
}

// maxHealthy is how many live instances system.check_health lists.
const maxHealthy = 1000

func (o SystemOptions) systemCheckHealth() (*Method, error) {
	return method[CheckHealthParams, sweepResult](spec{
		name: "system.check_health",
		description: "Find the instances that have been silent for too long, and give their tasks to live workers or back to the queue. " +
			"Lists at most 1,000 healthy ones.",
		limit:   100,
		timeout: 5 * time.Second,
		breaker: Breaker{Failures: 5, Open: 30 * time.Second},
		roles:   writers,
		effect:  Sets,
		refine: func(p map[string]*jsonschema.Schema) {
			p["timeout"].Minimum, p["timeout"].Maximum = new(0.0), new(float64(maxInteger))
		},
	}, o.checkHealth)
}

// checkHealth answers with what it found also when putting tasks back failed: those instances are declared
// dead, and the monitor goes on.
func (o SystemOptions) checkHealth(ctx context.Context, c *call, p *CheckHealthParams) (json.RawMessage, error) {
	timeout := o.InstanceTTL.Milliseconds()
	if p.Timeout != nil {
		timeout = int64(*p.Timeout)
	}
	if ttl := o.InstanceTTL.Milliseconds(); timeout < ttl && c.agent() != "" {
		return nil, api.Unauthorized(fmt.Sprintf("a timeout below the instance TTL of %d ms needs the role operator or admin", ttl))
	}
	result, err := o.Reassigner.sweep(ctx, sweepOptions{
		context: c.context("", c.Cause), subject: c.subject(""), limit: c.limit(), timeout: timeout, healthy: maxHealthy,
	})
	if err != nil && len(result.Failed) == 0 {
		return nil, err
	}
	if err != nil {
		o.Logger.WarnContext(ctx, "tasks of instances that died are not all put back yet; the monitor goes on", "error", err)
	}
	return json.Marshal(result)
}
