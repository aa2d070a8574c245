package system

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/claudebench/claudebench/internal/api"
	"github.com/claudebench/claudebench/internal/breaker"
	"github.com/claudebench/claudebench/internal/command"
	"github.com/claudebench/claudebench/internal/taskview"
	"github.com/claudebench/claudebench/lua"
)

// HealthParams are the params of system.health: none.
type HealthParams struct{}

// HealthResult is the result of system.health. Status is healthy when all services work, degraded
// when Redis does and another does not or an instance failed lately, unhealthy when Redis takes no
// commands.
type HealthResult struct {
	Status   string         `json:"status" jsonschema:"healthy; degraded when a service other than Redis is away, the task view is behind the log for more than ten seconds, or an instance failed less than five minutes ago and is not back; unhealthy when Redis takes no commands"`
	Services HealthServices `json:"services"`
	Reasons  []string       `json:"reasons,omitempty" jsonschema:"why it is not healthy, a sentence each; left out when it is"`
}

// HealthServices reports which services answer.
type HealthServices struct {
	Redis    bool `json:"redis" jsonschema:"it answers and takes commands"`
	Postgres bool `json:"postgres" jsonschema:"false also if no database is configured"`
	MCP      bool `json:"mcp"`
}

var getSystemHealth = lua.Bind[lua.NoArgs]("get_system_health")

// healthPatience is how long each service has to answer: a fraction of the method's timeout, for
// who asks wants to know soon that one does not.
const healthPatience = time.Second

func (o Options) healthMethod() (*command.Method, error) {
	return command.New[HealthParams, HealthResult](command.Spec{
		Name: "system.health",
		Description: "Report whether Redis takes commands, whether Postgres and MCP answer, and whether instances have failed. " +
			"It answers while they are away, within about a second.",
		Limit:   100,
		Timeout: 3 * time.Second,
		Breaker: breaker.Setting{Failures: 10, Open: 20 * time.Second},
		Roles:   command.Readers,
		Effect:  command.Reads,
	}, o.health)
}

func (o Options) health(ctx context.Context, c *command.Call, _ *HealthParams) (json.RawMessage, error) {
	ctx, cancel := context.WithTimeout(ctx, healthPatience)
	defer cancel()
	found := health{mcp: o.MCP}
	// Side by side: a service that hangs must not use up the time of the other.
	var asked sync.WaitGroup
	asked.Go(func() { found.lag, found.postgres = o.postgresAnswers(ctx, c.Scripts()) })
	asked.Go(func() { found.redis = o.Writable(ctx) })
	reply, err := command.Run(ctx, c, getSystemHealth, "", lua.NoArgs{})
	asked.Wait()
	switch {
	case err == nil:
		var ok bool
		if found.failed, ok = reply.(int64); !ok {
			return nil, fmt.Errorf("get_system_health returned %v", reply)
		}
	case errors.Is(err, lua.ErrUnavailable), errors.Is(err, lua.ErrOutcomeUnknown):
		if lua.Cause(found.redis) == "" {
			found.redis = err
		}
	default:
		return nil, err
	}
	return json.Marshal(found.result())
}

// postgresAnswers returns nil if the task view can be read, and how far it is behind the log if
// Redis tells.
func (o Options) postgresAnswers(ctx context.Context, scripts lua.Scripts) (taskview.Lag, error) {
	if o.View == nil {
		return taskview.Lag{}, taskview.ErrNotConfigured
	}
	at, err := o.View.Checkpoint(ctx)
	if err != nil || at == "" {
		return taskview.Lag{}, err
	}
	lag, err := taskview.ReadLag(ctx, scripts, at)
	if err != nil {
		return taskview.Lag{}, nil //nolint:nilerr // that is Redis, which is asked beside
	}
	return lag, nil
}

// health is what system.health found out.
type health struct {
	redis, postgres error // why they do not work; nil when they do
	lag             taskview.Lag
	mcp             bool
	failed          int64 // instances that failed lately
}

func (h health) result() HealthResult {
	r := HealthResult{Status: "healthy", Services: HealthServices{Redis: h.redis == nil, Postgres: h.postgres == nil, MCP: h.mcp}}
	because := func(status, reason string) {
		r.Status, r.Reasons = status, append(r.Reasons, reason)
	}
	switch {
	case errors.Is(h.postgres, taskview.ErrNotConfigured):
		because("degraded", "no Postgres is configured, so there is no task.list")
	case h.postgres != nil:
		because("degraded", api.PostgresUnavailable+": task.list does not work, everything else does")
	}
	if h.lag.Stale() {
		because("degraded", h.lag.String())
	}
	if !h.mcp {
		because("degraded", "MCP is not served")
	}
	if h.failed > 0 {
		because("degraded", fmt.Sprintf("%d instances failed less than five minutes ago and are not back", h.failed))
	}
	if h.redis != nil {
		because("unhealthy", api.InternalBecause(api.RedisUnavailable, lua.Cause(h.redis)).Data.(string))
	}
	return r
}
