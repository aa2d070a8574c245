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

var getSystemHealth = lua.Bind[lua.NoArgs]("get_system_health")

// healthPatience is how long each service has to answer. It is a fraction of the method's timeout,
// so that the caller learns soon that a service is unavailable.
const healthPatience = time.Second

func (o Options) healthMethod() (*command.Method, error) {
	return command.New[api.HealthParams, api.HealthResult](command.Spec{
		Name: "system.health",
		Description: "Report whether Redis takes commands, whether Postgres and MCP answer, and whether instances have failed. " +
			"It returns within about a second even if they are unavailable.",
		Limit:   100,
		Timeout: 3 * time.Second,
		Breaker: breaker.Setting{Failures: 10, Open: 20 * time.Second},
		Roles:   command.Readers,
		Effect:  command.Reads,
	}, o.health)
}

func (o Options) health(ctx context.Context, c *command.Call, _ *api.HealthParams) (json.RawMessage, error) {
	ctx, cancel := context.WithTimeout(ctx, healthPatience)
	defer cancel()
	found := health{mcp: o.MCP}
	// The checks run concurrently, so that one service that hangs does not use up the time of
	// another.
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

// postgresAnswers returns nil if the task view can be read, and the view's lag if Redis returns it.
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
		return taskview.Lag{}, nil //nolint:nilerr // Redis failed, which has a check of its own
	}
	return lag, nil
}

// health holds what system.health found.
type health struct {
	redis, postgres error // why they do not work; nil if they work
	lag             taskview.Lag
	mcp             bool
	failed          int64 // instances that failed lately
}

func (h health) result() api.HealthResult {
	r := api.HealthResult{Status: "healthy", Services: api.HealthServices{Redis: h.redis == nil, Postgres: h.postgres == nil, MCP: h.mcp}}
	because := func(status, reason string) {
		r.Status, r.Reasons = status, append(r.Reasons, reason)
	}
	switch {
	case errors.Is(h.postgres, taskview.ErrNotConfigured):
		because("degraded", "no Postgres is configured, so task.list and session.* are unavailable")
	case h.postgres != nil:
		because("degraded", api.PostgresUnavailable+": task.list and session.* do not work; everything else works")
	}
	if h.lag.Stale() {
		because("degraded", h.lag.String())
	}
	if !h.mcp {
		because("degraded", "MCP is disabled")
	}
	if h.failed > 0 {
		because("degraded", fmt.Sprintf("instances that failed less than five minutes ago and are not back: %d", h.failed))
	}
	if h.redis != nil {
		because("unhealthy", api.InternalBecause(api.RedisUnavailable, lua.Cause(h.redis)).Data.(string))
	}
	return r
}
