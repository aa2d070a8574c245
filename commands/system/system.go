// Package system is the domain of instances and of the coordinator itself: one file for each method
// of system.*, named after it, with the method's params, result, limits and script. Package
// commands lists its Methods.
package system

import (
	"context"
	"log/slog"
	"time"

	"github.com/claudebench/claudebench/internal/callstats"
	"github.com/claudebench/claudebench/internal/command"
	"github.com/claudebench/claudebench/internal/flush"
	"github.com/claudebench/claudebench/internal/reassign"
	"github.com/claudebench/claudebench/internal/taskview"
)

// Options are what the system's methods work with.
type Options struct {
	// Catalog are all methods, as they are offered and as they were called.
	Catalog Catalog
	// InstanceTTL is how long a registration lasts without a heartbeat.
	InstanceTTL time.Duration
	// View is the view of the tasks; nil without Postgres.
	View taskview.View
	// MCP is set if the MCP endpoint is served.
	MCP        bool
	Reassigner *reassign.Reassigner
	Flusher    *flush.Flusher
	// Writable returns nil if Redis takes commands, else why not.
	Writable func(context.Context) error
	// Started is when the coordinator did.
	Started time.Time
	Logger  *slog.Logger
}

// Catalog are the methods of a coordinator and the statistics of their calls.
type Catalog interface {
	Methods() []*command.Method
	Stats() []callstats.Stats
	// MCPStats are those of all calls that came by MCP.
	MCPStats() callstats.Stats
}

// Methods are the methods of the domain system, in the order in which they are documented.
func Methods(o Options) ([]*command.Method, error) {
	return command.Collect(
		o.registerMethod,
		o.heartbeatMethod,
		o.unregisterMethod,
		o.healthMethod,
		o.checkHealthMethod,
		o.metricsMethod,
		o.getStateMethod,
		batchProcessMethod,
		quorumVoteMethod,
		o.discoverMethod,
		o.flushMethod,
	)
}
