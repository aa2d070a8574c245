package breaker

import (
	"context"
	"sync"
	"time"

	"github.com/claudebench/claudebench/lua"
)

type reportCircuitArgs struct {
	Context, Method, Coordinator, State string
	Failures                            int
	Over, Moment, TTL                   int64 // ms
}

var reportCircuit = lua.Bind[reportCircuitArgs]("report_circuit")

// noteKept is how long Redis keeps what a coordinator last reported about a circuit.
const noteKept = time.Hour

// Reporter reports the changes of one coordinator's circuits to Redis.
type Reporter struct {
	scripts     lua.Scripts
	coordinator string
	all         []*Circuit
	reporting   sync.Mutex
}

// NewReporter returns a Reporter for the circuits of the coordinator with this name.
func NewReporter(scripts lua.Scripts, coordinator string, all []*Circuit) *Reporter {
	return &Reporter{scripts: scripts, coordinator: coordinator, all: all}
}

// Report writes the states of the circuits to Redis, and emits an event for each that opened or
// closed. It keeps what it cannot report for the next call.
func (c *Reporter) Report(ctx context.Context) error {
	c.reporting.Lock()
	defer c.reporting.Unlock()
	for _, circuit := range c.all {
		if change, standing := circuit.standing(); standing {
			if err := c.reportOne(ctx, circuit, change); err != nil {
				return err
			}
		}
		for change, more := circuit.unreported(); more; change, more = circuit.unreported() {
			if err := c.reportOne(ctx, circuit, change); err != nil {
				return err
			}
			circuit.reported(change)
		}
	}
	return nil
}

// reportOne reports one change. Reporting it again changes nothing.
func (c *Reporter) reportOne(ctx context.Context, circuit *Circuit, change Change) error {
	_, err := reportCircuit.Run(ctx, c.scripts, reportCircuitArgs{
		Context: lua.EventContext("coordinator", "", ""), Method: circuit.method, Coordinator: c.coordinator, State: change.State,
		Failures: change.Failures, Over: change.Until, Moment: change.At, TTL: noteKept.Milliseconds(),
	})
	return err
}
