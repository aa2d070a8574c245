package system

import (
	"context"
	"encoding/json"
	"fmt"
	"strings"
	"time"

	"github.com/claudebench/claudebench/internal/api"
	"github.com/claudebench/claudebench/internal/breaker"
	"github.com/claudebench/claudebench/internal/command"
	"github.com/claudebench/claudebench/lua"
)

var admitCall = lua.Bind[lua.NoArgs]("admit_call")

func (o Options) discoverMethod() (*command.Method, error) {
	return command.New[api.DiscoverParams, api.DiscoverResult](command.Spec{
		Name:        "system.discover",
		Description: "List the methods, with the JSON Schemas of their params and results and the limits in force.",
		Limit:       100,
		Timeout:     5 * time.Second,
		Breaker:     breaker.Setting{Failures: 5, Open: 30 * time.Second},
		Roles:       command.Readers,
		Effect:      command.Reads,
	}, o.discover)
}

func (o Options) discover(ctx context.Context, c *command.Call, p *api.DiscoverParams) (json.RawMessage, error) {
	if _, err := command.Run(ctx, c, admitCall, "", lua.NoArgs{}); err != nil {
		return nil, err
	}
	result := api.DiscoverResult{Methods: []api.MethodInfo{}}
	for _, m := range o.Catalog.Methods() {
		if domain, _, _ := strings.Cut(m.Name, "."); p.Domain != "" && domain != p.Domain {
			continue
		}
		described, err := Describe(m)
		if err != nil {
			return nil, err
		}
		result.Methods = append(result.Methods, described)
	}
	return json.Marshal(result)
}

// Describe returns the description of a method, with the limits in force.
func Describe(m *command.Method) (api.MethodInfo, error) {
	input, err := json.Marshal(m.Params)
	if err != nil {
		return api.MethodInfo{}, fmt.Errorf("encode the params' schema of %s: %w", m.Name, err)
	}
	output, err := json.Marshal(m.Result)
	if err != nil {
		return api.MethodInfo{}, fmt.Errorf("encode the result's schema of %s: %w", m.Name, err)
	}
	return api.MethodInfo{
		Name: m.Name, Description: m.Description, InputSchema: input, OutputSchema: output,
		Metadata: api.MethodMetadata{Persist: m.Effect != command.Reads, RateLimit: m.Limit, TokenRateLimit: m.TokenLimit, Roles: m.Roles},
	}, nil
}
