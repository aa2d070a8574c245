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

// DiscoverParams are the params of system.discover.
type DiscoverParams struct {
	Domain string `json:"domain,omitempty" jsonschema:"only the methods of this domain: system or task"`
}

// DiscoverResult is the result of system.discover.
type DiscoverResult struct {
	Methods []MethodInfo `json:"methods"`
}

// MethodInfo describes a method. Its schemas are JSON Schema 2020-12.
type MethodInfo struct {
	Name         string         `json:"name"`
	Description  string         `json:"description"`
	InputSchema  api.Object     `json:"inputSchema"`
	OutputSchema api.Object     `json:"outputSchema"`
	Metadata     MethodMetadata `json:"metadata"`
}

// MethodMetadata holds a method's limits and roles, and whether its calls change stored state.
type MethodMetadata struct {
	Persist   bool `json:"persist" jsonschema:"whether calls change stored state"`
	RateLimit int  `json:"rateLimit" jsonschema:"calls a minute for each actor; 0 for no limit"`
	// TokenRateLimit applies to calls for an instance.
	TokenRateLimit int      `json:"tokenRateLimit" jsonschema:"calls a minute that a token may make for all its instances together; 0 for no limit"`
	Roles          []string `json:"roles" jsonschema:"a token needs one of these roles"`
}

var admitCall = lua.Bind[lua.NoArgs]("admit_call")

func (o Options) discoverMethod() (*command.Method, error) {
	return command.New[DiscoverParams, DiscoverResult](command.Spec{
		Name:        "system.discover",
		Description: "List the methods, with the JSON Schemas of their params and results and the limits in force.",
		Limit:       100,
		Timeout:     5 * time.Second,
		Breaker:     breaker.Setting{Failures: 5, Open: 30 * time.Second},
		Roles:       command.Readers,
		Effect:      command.Reads,
	}, o.discover)
}

func (o Options) discover(ctx context.Context, c *command.Call, p *DiscoverParams) (json.RawMessage, error) {
	if _, err := command.Run(ctx, c, admitCall, "", lua.NoArgs{}); err != nil {
		return nil, err
	}
	result := DiscoverResult{Methods: []MethodInfo{}}
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
func Describe(m *command.Method) (MethodInfo, error) {
	input, err := json.Marshal(m.Params)
	if err != nil {
		return MethodInfo{}, fmt.Errorf("encode the params' schema of %s: %w", m.Name, err)
	}
	output, err := json.Marshal(m.Result)
	if err != nil {
		return MethodInfo{}, fmt.Errorf("encode the result's schema of %s: %w", m.Name, err)
	}
	return MethodInfo{
		Name: m.Name, Description: m.Description, InputSchema: input, OutputSchema: output,
		Metadata: MethodMetadata{Persist: m.Effect != command.Reads, RateLimit: m.Limit, TokenRateLimit: m.TokenLimit, Roles: m.Roles},
	}, nil
}
