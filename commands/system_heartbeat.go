package commands

import (
	"context"
	"encoding/json"
	"time"

	"github.com/claudebench/claudebench/internal/api"
	"github.com/claudebench/claudebench/lua"
)

// HeartbeatParams are the params of system.heartbeat.
type HeartbeatParams struct {
	InstanceID api.ID `json:"instanceId"`
}

// HeartbeatResult is the result of system.heartbeat; IsLeader and Term are for the leader only.
type HeartbeatResult struct {
	Alive    bool `json:"alive"`
	IsLeader bool `json:"isLeader,omitempty"`
	Term     int  `json:"term,omitempty"`
}

var instanceHeartbeat = lua.Named("instance_heartbeat")

func (o SystemOptions) systemHeartbeat() (*Method, error) {
	return method[HeartbeatParams, HeartbeatResult](spec{
		name: "system.heartbeat",
		description: "Renew an instance's registration, and its leadership. alive is false when it is not registered, or has " +
			"expired: then register again, with the same sessionId to go on with what it had.",
		limit:   1000,
		timeout: 2 * time.Second,
		breaker: Breaker{Failures: 20, Open: 10 * time.Second},
		roles:   writers,
		effect:  Sets,
	}, func(ctx context.Context, c *call, p *HeartbeatParams) (json.RawMessage, error) {
		id := string(p.InstanceID)
		return c.decide(ctx, instanceHeartbeat, id, id, o.InstanceTTL.Milliseconds(), c.agent())
	})
}
