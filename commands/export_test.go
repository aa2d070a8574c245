package commands

import (
	"context"
	"encoding/json"

	"github.com/claudebench/claudebench/internal/api"
	"github.com/claudebench/claudebench/internal/command"
)

// Perform runs a command as Call does if traces are disabled.
func (c *Coordinator) Perform(ctx context.Context, m *command.Method, request api.Request) (json.RawMessage, error) {
	result, _, failed := c.perform(ctx, m, request)
	return result, failed
}
