package commands

import (
	"context"
	"sync"
	"time"

	"github.com/claudebench/claudebench/lua"
)

var reportCircuit = lua.Named("report_circuit")

// circuitKept is how long Redis shows what a coordinator last reported of a circuit.
const circuitKept = time.Hour

// circuits are the circuit breakers of one coordinator, which reports their changes.
type circuits struct {
	scripts     lua.Scripts
	coordinator string
	all         []*circuit
	reporting   sync.Mutex
}

// newCircuits returns the circuits of the coordinator of this name.
func newCircuits(scripts lua.Scripts, coordinator string, all []*circuit) *circuits {
	return &circuits{scripts: scripts, coordinator: coordinator, all: all}
}

// report tells Redis how circuits stand and, by events, which opened and closed. What cannot be reported
// stays for the next time.
func (c *circuits) report(ctx context.Context) error {
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
func (c *circuits) reportOne(ctx context.Context, circuit *circuit, change circuitChange) error {
	_, err := c.scripts.Run(ctx, reportCircuit, lua.EventContext("coordinator", "", ""), circuit.method, c.coordinator,
		change.state, change.failures, change.until, change.at, circuitKept.Milliseconds())
	return err
}
