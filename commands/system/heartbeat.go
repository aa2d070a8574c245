package system

import (
	"context"
	"encoding/json"
	"time"

	"github.com/claudebench/claudebench/internal/api"
	"github.com/claudebench/claudebench/internal/breaker"
	"github.com/claudebench/claudebench/internal/command"
	"github.com/claudebench/claudebench/lua"
)

type instanceHeartbeatArgs struct {
	ID    string
	TTL   int64 // ms
	Agent string
}

var instanceHeartbeat = lua.Bind[instanceHeartbeatArgs]("instance_heartbeat")

func (o Options) heartbeatMethod() (*command.Method, error) {
	return command.New[api.HeartbeatParams, api.HeartbeatResult](command.Spec{
		Name: "system.heartbeat",
		Description: "Renew an instance's registration, and its leadership. alive is false if it is not registered or its " +
			"registration has expired. Then register again, with the same sessionId to keep the tasks that it still has.",
		Limit:   1000,
		Timeout: 2 * time.Second,
		Breaker: breaker.Setting{Failures: 20, Open: 10 * time.Second},
		Roles:   command.Writers,
		Effect:  command.Sets,
	}, func(ctx context.Context, c *command.Call, p *api.HeartbeatParams) (json.RawMessage, error) {
		id := string(p.InstanceID)
		return command.Decide(ctx, c, instanceHeartbeat, id, instanceHeartbeatArgs{
			ID: id, TTL: o.InstanceTTL.Milliseconds(), Agent: c.Agent(),
		})
	})
}
