package system

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"time"

	"github.com/google/jsonschema-go/jsonschema"

	"github.com/claudebench/claudebench/internal/api"
	"github.com/claudebench/claudebench/internal/breaker"
	"github.com/claudebench/claudebench/internal/command"
	"github.com/claudebench/claudebench/internal/jsontext"
	"github.com/claudebench/claudebench/internal/params"
	"github.com/claudebench/claudebench/lua"
)

type registerInstanceArgs struct {
	ID       string
	Roles    string // JSON
	Worker   bool
	Metadata []byte
	Session  string
	Most     int
	TTL      int64 // ms
	Token    string
	Own      *int // ms
}

type updateGossipHealthArgs struct{ ID, Status string }

var (
	registerInstance   = lua.Bind[registerInstanceArgs]("register_instance")
	updateGossipHealth = lua.Bind[updateGossipHealthArgs]("update_gossip_health")
)

const (
	workerRole = "worker"
	// defaultMaxTasks is the maximum number of tasks that auto-assignment lets a worker hold, if
	// the worker does not set maxTasks.
	defaultMaxTasks = 10
	maxMaxTasks     = 10_000
	// minTTL and maxTTL bound an instance's own TTL, in ms: long enough for the monitor to notice a
	// death in time, and an hour.
	minTTL, maxTTL = 5_000, 3_600_000
	// mcpTTL is the TTL of an instance that registers over MCP and gives none: a model sends no
	// heartbeats while it thinks.
	mcpTTL = 10 * time.Minute
)

func (o Options) registerMethod() (*command.Method, error) {
	return command.New[api.RegisterParams, api.RegisterResult](command.Spec{
		Name: "system.register",
		Description: "Register an instance, for the first time or again. If no leader is alive, it becomes the leader; " +
			"waiting tasks are assigned to a worker. Without a sign of life for ttlMs the registration expires: send heartbeats, " +
			"or call other methods in the instance's name.",
		Limit:   10,
		Timeout: 5 * time.Second,
		Breaker: breaker.Setting{Failures: 5, Open: 30 * time.Second},
		Roles:   command.Writers,
		Effect:  command.Sets,
		Refine: func(p map[string]*jsonschema.Schema) {
			p["roles"].MaxItems = new(params.MaxRoles)
			params.Between(p["ttlMs"], minTTL, maxTTL)
			p["metadata"].Properties = map[string]*jsonschema.Schema{
				"maxTasks":  {Type: "integer", Description: "the maximum number of open tasks that the worker is assigned", Minimum: new(0.0), Maximum: new(float64(maxMaxTasks))},
				"sessionId": {Type: "string", Description: "the process behind the id; if it registers again with the same session, it keeps its tasks", MaxLength: new(params.MaxIDBytes), Pattern: params.NoControls},
			}
		},
	}, o.register)
}

func (o Options) register(ctx context.Context, c *command.Call, p *api.RegisterParams) (json.RawMessage, error) {
	id := string(p.ID)
	maxTasks, session := instanceMetadata(p.Metadata)
	worker := slices.Contains(p.Roles, workerRole)
	own := p.TTL
	if own == nil && c.MCP && o.InstanceTTL < mcpTTL {
		own = new(int(mcpTTL.Milliseconds()))
	}
	reply, err := command.Run(ctx, c, registerInstance, id, registerInstanceArgs{
		ID: id, Roles: jsontext.Array(p.Roles), Worker: worker, Metadata: p.Metadata, Session: session, Most: maxTasks,
		TTL: o.InstanceTTL.Milliseconds(), Token: c.Caller, Own: own,
	})
	if err != nil {
		return nil, err
	}
	event, setAside, err := registration(reply)
	if err != nil {
		return nil, err
	}
	if event == "" {
		return json.RawMessage(`{"registered":false}`), nil
	}
	// The instance is registered. The following steps may be repeated, and omitting them does no
	// harm.
	follow := func(err error) {
		if err != nil {
			o.Logger.WarnContext(ctx, "the registration succeeded, but a step after it failed; the monitor or a later claim repeats it",
				"instance", id, "error", err)
		}
	}
	_, err = updateGossipHealth.Run(ctx, c.Scripts(), updateGossipHealthArgs{ID: id, Status: "healthy"})
	follow(err)
	if setAside {
		_, err = o.Reassigner.Requeue(ctx)
		follow(err)
	}
	if worker {
		follow(o.Reassigner.Assign(ctx, c.EventContext(id, event), id, "instance_registered"))
	}
	return json.RawMessage(`{"registered":true}`), nil
}

// registration parses the reply of register_instance. event is "" if the ID belongs to another
// token.
func registration(reply any) (event string, setAside bool, err error) {
	values, ok := reply.([]any)
	if !ok || len(values) != 2 {
		return "", false, fmt.Errorf("register_instance returned %v", reply)
	}
	event, ok = values[0].(string)
	if !ok {
		return "", false, fmt.Errorf("register_instance returned %v", reply)
	}
	return event, values[1] == int64(1), nil
}

// instanceMetadata returns the members of an instance's metadata that the coordinator itself uses.
// The schema has already checked them.
func instanceMetadata(metadata api.Object) (maxTasks int, session string) {
	maxTasks = defaultMaxTasks
	for name, v := range jsontext.Members(metadata) {
		switch name {
		case "maxTasks":
			n, _ := jsontext.Integer(v)
			maxTasks = int(n)
		case "sessionId":
			session = jsontext.Unquote(v)
		}
	}
	return maxTasks, session
}
