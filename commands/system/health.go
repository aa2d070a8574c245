package system

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/claudebench/claudebench/internal/breaker"
	"github.com/claudebench/claudebench/internal/command"
	"github.com/claudebench/claudebench/lua"
)

// HealthParams are the params of system.health: none.
type HealthParams struct{}

// HealthResult is the result of system.health. Status is healthy when all services answer, degraded when
// Redis does and another does not or an instance failed lately, unhealthy without Redis.
type HealthResult struct {
	Status   string         `json:"status" jsonschema:"healthy; degraded when a service other than Redis is away, or an instance failed less than five minutes ago and is not back; unhealthy without Redis"`
	Services HealthServices `json:"services"`
}

// HealthServices tells which services answer.
type HealthServices struct {
	Redis    bool `json:"redis"`
	Postgres bool `json:"postgres" jsonschema:"false as well where none is configured"`
	MCP      bool `json:"mcp"`
}

var getSystemHealth = lua.Named("get_system_health")

// healthPatience is how long each service has to answer: a fraction of the method's timeout, for who asks
// wants to know soon that one does not.
const healthPatience = time.Second

func (o Options) healthMethod() (*command.Method, error) {
	return command.New[HealthParams, HealthResult](command.Spec{
		Name: "system.health",
		Description: "Tell whether Redis, Postgres and MCP answer, and whether instances have failed. It answers while they are " +
			"away, within about a second.",
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
	services := HealthServices{MCP: o.MCP}
	// Side by side: a service that hangs must not use up the time of the other.
	var asked sync.WaitGroup
	asked.Go(func() { services.Postgres = o.postgresAnswers(ctx) })
	reply, err := c.Run(ctx, getSystemHealth, "")
	asked.Wait()
	var failed int64
	switch {
	case err == nil:
		services.Redis = true
		var ok bool
		if failed, ok = reply.(int64); !ok {
			return nil, fmt.Errorf("get_system_health returned %v", reply)
		}
	case !errors.Is(err, lua.ErrUnavailable) && !errors.Is(err, lua.ErrOutcomeUnknown):
		return nil, err
	}
	return json.Marshal(healthOf(services, failed))
}

// postgresAnswers asks the task view, if there is one.
func (o Options) postgresAnswers(ctx context.Context) bool {
	return o.View != nil && o.View.Ping(ctx) == nil
}

// healthOf sums up which services answer and how many instances failed lately.
func healthOf(services HealthServices, failed int64) HealthResult {
	status := "healthy"
	switch {
	case !services.Redis:
		status = "unhealthy"
	case !services.Postgres || !services.MCP || failed > 0:
		status = "degraded"
	}
	return HealthResult{Status: status, Services: services}
}
