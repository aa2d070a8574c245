package breaker

import (
	"context"
	"sync"
	"time"

	"github.com/claudebench/claudebench/lua"
)

var reportScript = lua.Named("report_circuit")

// circuitKept is how long Redis shows what a coordinator last reported of a circuit.
const noteKept = time.Hour

// Reporter are the circuit breakers of one coordinator, which reports their changes.
type Reporter struct {
	scripts     lua.Scripts
	coordinator string
	all         []*Circuit
	reporting   sync.Mutex
}

// NewReporter returns the circuits of the coordinator of this name.
func NewReporter(scripts lua.Scripts, coordinator string, all []*Circuit) *Reporter {
	return &Reporter{scripts: scripts, coordinator: coordinator, all: all}
}

// Report tells Redis how circuits stand and, by events, which opened and closed. What cannot be reported
// stays for the next time.
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

// reportOne reports one change. Reported again, it changes nothing.
func (c *Reporter) reportOne(ctx context.Context, circuit *Circuit, change Change) error {
	_, err := c.scripts.Run(ctx, reportScript, lua.EventContext("coordinator", "", ""), circuit.method, c.coordinator,
		change.State, change.Failures, change.Until, change.At, noteKept.Milliseconds())
	return err
}
