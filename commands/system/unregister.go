package system

import (
	"context"
	"encoding/json"
	"fmt"
	"time"

	"github.com/claudebench/claudebench/internal/api"
	"github.com/claudebench/claudebench/internal/breaker"
	"github.com/claudebench/claudebench/internal/command"
	"github.com/claudebench/claudebench/lua"
)

type unregisterInstanceArgs struct{ ID, Session, Agent string }

var unregisterInstance = lua.Bind[unregisterInstanceArgs]("unregister_instance")

func (o Options) unregisterMethod() (*command.Method, error) {
	return command.New[api.UnregisterParams, api.UnregisterResult](command.Spec{
		Name:        "system.unregister",
		Description: "Unregister an instance. Its tasks, also those it has claimed, return to the queue and to live workers.",
		Limit:       10,
		Timeout:     5 * time.Second,
		Breaker:     breaker.Setting{Failures: 5, Open: 30 * time.Second},
		Roles:       command.Writers,
		Effect:      command.Destroys,
	}, o.unregister)
}

func (o Options) unregister(ctx context.Context, c *command.Call, p *api.UnregisterParams) (json.RawMessage, error) {
	id := string(p.InstanceID)
	reply, err := command.Run(ctx, c, unregisterInstance, id, unregisterInstanceArgs{
		ID: id, Session: p.SessionID, Agent: c.Agent(),
	})
	if err != nil {
		return nil, err
	}
	n, err := lua.Integers(reply, 1)
	if err != nil {
		return nil, fmt.Errorf("unregister_instance: %w", err)
	}
	event, _ := reply.([]any)[1].(string)
	if n[0] > 0 {
		// The instance is unregistered. The following steps may be repeated, and the monitor
		// continues them if they stop here.
		if err := o.Reassigner.Reassign(ctx, c.EventContext(id, event), "instance_unregistered"); err != nil {
			o.Logger.WarnContext(ctx, "not all tasks of an unregistered instance have returned to the queue; the monitor returns the rest",
				"instance", id, "error", err)
		}
	}
	return fmt.Appendf(nil, `{"unregistered":true,"tasksReassigned":%d}`, n[0]), nil
}
