// Package system is the domain of instances and of the coordinator itself. Each method system.* has
// one file, named after it, with the method's params, result, limits and script. Package commands
// lists its Methods.
//
// The methods return the errors of their scripts. If Redis is unavailable, every method fails
// except system.health, which reports it. If the configured Postgres is unavailable, only
// system.flush fails.
package system

import (
	"context"
	"log/slog"
	"time"

	"github.com/claudebench/claudebench/internal/callstats"
	"github.com/claudebench/claudebench/internal/command"
	"github.com/claudebench/claudebench/internal/flush"
	"github.com/claudebench/claudebench/internal/past"
	"github.com/claudebench/claudebench/internal/reassign"
	"github.com/claudebench/claudebench/internal/taskview"
)

// Options configure the methods.
type Options struct {
	// Catalog lists all methods and the statistics of their calls.
	Catalog Catalog
	// InstanceTTL is how long a registration lasts without a heartbeat.
	InstanceTTL time.Duration
	// View is the task view. Nil means no Postgres.
	View taskview.View
	// Index is the index of events, for system.subscribers. Nil means no Postgres.
	Index taskview.EventIndex
	// Past folds the log for system.get_state with at.
	Past past.Reader
	// MCP is set if the MCP endpoint is served.
	MCP        bool
	Reassigner *reassign.Reassigner
	Flusher    *flush.Flusher
	// Writable returns nil if Redis accepts commands, else the reason why it does not.
	Writable func(context.Context) error
	// Info is what system.info reports.
	Info Info
	// Started is when the coordinator started.
	Started time.Time
	Logger  *slog.Logger
}

// Catalog lists the methods of a coordinator and the statistics of their calls.
type Catalog interface {
	Methods() []*command.Method
	Stats() []callstats.Stats
	// MCPStats returns the statistics of all calls over MCP.
	MCPStats() callstats.Stats
}

// Methods returns the methods of the domain system, in the order in which they are documented.
func Methods(o Options) ([]*command.Method, error) {
	return command.Collect(
		o.registerMethod,
		o.heartbeatMethod,
		o.unregisterMethod,
		o.healthMethod,
		o.checkHealthMethod,
		o.metricsMethod,
		o.getStateMethod,
		o.infoMethod,
		o.subscribersMethod,
		batchProcessMethod,
		quorumVoteMethod,
		o.discoverMethod,
		o.flushMethod,
	)
}
