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
	"github.com/claudebench/claudebench/lua"
)

// Info is what system.info reports besides the caller.
type Info struct {
	Version        string
	Namespace      string
	TraceURL       string // a template with {trace}; "" for none
	Authentication bool
	Stores         Stores // nil if nothing is known about them
}

// Stores describes the stores. Both functions return within about a second, whatever is broken, and
// cost the stores nothing if they are called often.
type Stores interface {
	Redis(context.Context) api.RedisInfo
	// Postgres returns nil if none is configured.
	Postgres(context.Context) *api.PostgresInfo
}

var getSystemInfo = lua.Bind[lua.NoArgs]("get_system_info")

func (o Options) infoMethod() (*command.Method, error) {
	return command.New[api.InfoParams, api.InfoResult](command.Spec{
		Name: "system.info",
		Description: "Describe the coordinator and its stores, and what the caller may do: versions, roles, and settings of the stores that can " +
			"lose data. It returns within about a second even if Redis or Postgres is unavailable.",
		Limit:   120,
		Timeout: 3 * time.Second,
		Breaker: breaker.Setting{Failures: 10, Open: 20 * time.Second},
		Roles:   command.Readers,
		Hidden:  true,
		Effect:  command.Reads,
	}, o.info)
}

func (o Options) info(ctx context.Context, c *command.Call, _ *api.InfoParams) (json.RawMessage, error) {
	ctx, cancel := context.WithTimeout(ctx, 2*healthPatience)
	defer cancel()
	token := c.Token()
	result := api.InfoResult{
		Version: o.Info.Version, Namespace: o.Info.Namespace, Authentication: o.Info.Authentication, TraceURL: o.Info.TraceURL,
		Caller: api.InfoCaller(token),
		Stores: api.InfoStores{Redis: unknownRedis},
	}
	if !o.Info.Authentication {
		result.Caller.Roles = api.Roles()
	}
	var asked sync.WaitGroup
	if stores := o.Info.Stores; stores != nil {
		asked.Go(func() { result.Stores.Redis = stores.Redis(ctx) })
		asked.Go(func() { result.Stores.Postgres = stores.Postgres(ctx) })
	}
	reply, err := command.Run(ctx, c, getSystemInfo, "", lua.NoArgs{})
	asked.Wait()
	switch {
	case err == nil:
		var ok bool
		if result.Coordinators, ok = reply.(int64); !ok {
			return nil, fmt.Errorf("get_system_info returned %v", reply)
		}
	case errors.Is(err, lua.ErrUnavailable), errors.Is(err, lua.ErrOutcomeUnknown):
		// As system.health does: who asks wants to know this.
		result.Stores.Redis.Status = api.StoreUnavailable
		if cause := lua.Cause(err); cause != "" {
			result.Stores.Redis.Status += ": " + cause
		}
	default:
		return nil, err
	}
	return json.Marshal(result)
}

// unknownRedis describes a Redis of which nothing is known.
var unknownRedis = api.RedisInfo{
	Status: api.StoreOK, Product: api.Unknown, Version: api.Unknown, Mode: api.Unknown, Role: api.Unknown, Policy: api.Unknown,
	Persistence: api.RedisPersistence{AOF: api.Unknown, Fsync: api.Unknown, LastAOFWrite: api.Unknown, LastSnapshotWrite: api.Unknown},
	Warnings:    []string{},
}
