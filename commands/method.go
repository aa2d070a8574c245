package commands

import (
	"context"
	"encoding/json"
	"fmt"
	"time"

	"github.com/google/jsonschema-go/jsonschema"
)

// Method is a command as the API offers it.
type Method struct {
	Name        string
	Description string
	// Limit is how many calls a minute an actor may make; 0 is no limit.
	Limit int
	// Timeout is when a call is given up at the latest.
	Timeout time.Duration
	// Params and Result are their schemas.
	Params, Result *jsonschema.Schema

	run func(context.Context, *call) (json.RawMessage, error)
}

// spec is what the list says of a method beside its types.
type spec struct {
	name        string
	description string
	limit       int
	timeout     time.Duration
	// refine adds to the schema of the params what their Go type cannot say.
	refine func(properties map[string]*jsonschema.Schema)
}

// method makes a Method from its handler. P is the type of its params, R of its result, which a handler
// gives as JSON: most results come from the script as they are.
func method[P, R any](s spec, handle func(context.Context, *call, *P) (json.RawMessage, error)) (*Method, error) {
	params, err := newParams[P](s.refine)
	if err != nil {
		return nil, fmt.Errorf("method %s: %w", s.name, err)
	}
	result, err := schemaOf[R](nil)
	if err != nil {
		return nil, fmt.Errorf("method %s: %w", s.name, err)
	}
	return &Method{
		Name: s.name, Description: s.description, Limit: s.limit, Timeout: s.timeout, Params: params.schema, Result: result,
		run: func(ctx context.Context, c *call) (json.RawMessage, error) {
			p, err := params.decode(c.Params)
			if err != nil {
				return nil, err
			}
			return handle(ctx, c, p)
		},
	}, nil
}
