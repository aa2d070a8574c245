package commands

import (
	"log/slog"
	"time"
)

// SystemOptions are what the system's methods work with.
type SystemOptions struct {
	// Catalog are all methods, as they are offered and as they were called.
	Catalog Catalog
	// InstanceTTL is how long a registration lasts without a heartbeat.
	InstanceTTL time.Duration
	// View is the view of the tasks; nil without Postgres.
	View TaskView
	// MCP says that the MCP endpoint is served.
	MCP        bool
	Reassigner *reassigner
	Flusher    *flusher
	// Started is when the coordinator did.
	Started time.Time
	Logger  *slog.Logger
}

// Catalog are the methods of a coordinator and the statistics of their calls.
type Catalog interface {
	Methods() []*Method
	Stats() []CallStats
	// MCPStats are those of all calls that came by MCP.
	MCPStats() CallStats
}

// SystemMethods are the methods of the domain system, in the order in which they are documented.
func SystemMethods(o SystemOptions) ([]*Method, error) {
	return collect(
		o.systemRegister,
		o.systemHeartbeat,
		o.systemUnregister,
		o.systemHealth,
		o.systemCheckHealth,
		o.systemMetrics,
		o.systemGetState,
		systemBatchProcess,
		systemQuorumVote,
		o.systemDiscover,
		o.systemFlush,
	)
}
