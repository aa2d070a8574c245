package commands

import (
	"context"
	"encoding/json"
	"fmt"
	"time"

	"github.com/claudebench/claudebench/internal/api"
	"github.com/claudebench/claudebench/lua"
)

// UnregisterParams are the params of system.unregister.
type UnregisterParams struct {
	InstanceID api.ID    `json:"instanceId"`
	SessionID  string    `json:"sessionId,omitempty" jsonschema:"the session it registered with; another one changes nothing"`
	Timestamp  api.Value `json:"timestamp,omitempty" jsonschema:"when the caller decided to go; accepted for compatibility, Redis's clock counts"`
}

// UnregisterResult is the result of system.unregister.
type UnregisterResult struct {
	Unregistered    bool `json:"unregistered"`
	TasksReassigned int  `json:"tasksReassigned"`
}

var unregisterInstance = lua.Named("unregister_instance")

func (o SystemOptions) systemUnregister() (*Method, error) {
	return method[UnregisterParams, UnregisterResult](spec{
		name:        "system.unregister",
		description: "Let an instance go. Its tasks, claimed ones too, go back to the queue and to live workers.",
		limit:       10,
		timeout:     5 * time.Second,
		breaker:     Breaker{Failures: 5, Open: 30 * time.Second},
		roles:       writers,
		effect:      Destroys,
		hidden:      true,
	}, o.unregister)
}

func (o SystemOptions) unregister(ctx context.Context, c *call, p *UnregisterParams) (json.RawMessage, error) {
	id := string(p.InstanceID)
	reply, err := c.run(ctx, unregisterInstance, id, id, p.SessionID, c.agent())
	if err != nil {
		return nil, err
	}
	n, err := lua.Integers(reply, 1)
	if err != nil {
		return nil, fmt.Errorf("unregister_instance: %w", err)
	}
	event, _ := reply.([]any)[1].(string)
	if n[0] > 0 {
		// It is unregistered. What follows is repeatable, and the monitor goes on with it if it stops here.
		if err := o.Reassigner.reassign(ctx, c.context(id, event), "instance_unregistered"); err != nil {
			o.Logger.WarnContext(ctx, "tasks of an unregistered instance are not all put back yet; the monitor goes on",
				"instance", id, "error", err)
		}
	}
	return fmt.Appendf(nil, `{"unregistered":true,"tasksReassigned":%d}`, n[0]), nil
}
