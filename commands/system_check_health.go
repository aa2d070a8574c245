package commands

import (
	"context"
	"encoding/json"
	"fmt"
	"time"

	"github.com/google/jsonschema-go/jsonschema"

	"github.com/claudebench/claudebench/lua"
)

// CheckHealthParams are the params of system.check_health.
type CheckHealthParams struct {
	Timeout *int `json:"timeout,omitempty" jsonschema:"ms of silence after which an instance is dead; the instance TTL when left out, and a shorter one needs the role operator"`
}

// CheckHealthResult is the result of system.check_health.
type CheckHealthResult struct {
	Healthy    []string       `json:"healthy"`
	Failed     []string       `json:"failed"`
	Reassigned map[string]int `json:"reassigned"`
}

var reassignFailedTasks = lua.Named("reassign_failed_tasks")

// maxHealthy is how many live instances system.check_health lists.
const maxHealthy = 1000

func systemCheckHealth() (*Method, error) {
	return method[CheckHealthParams, CheckHealthResult](spec{
		name: "system.check_health",
		description: "Find the instances that have been silent for too long, and give their tasks to live workers or back to the queue. " +
			"Lists at most 1,000 healthy ones.",
		limit:   100,
		timeout: 5 * time.Second,
		breaker: Breaker{Failures: 5, Open: 30 * time.Second},
		roles:   writers,
		effect:  Sets,
		refine: func(p map[string]*jsonschema.Schema) {
			p["timeout"].Minimum, p["timeout"].Maximum = new(0.0), new(float64(maxInteger))
		},
	}, checkHealth)
}

func checkHealth(ctx context.Context, c *call, p *CheckHealthParams) (json.RawMessage, error) {
	timeout := ms(c.options.InstanceTTL)
	if p.Timeout != nil {
		timeout = int64(*p.Timeout)
	}
	if err := c.mayHurry(timeout); err != nil {
		return nil, err
	}
	check := sweep{
		envelope: c.context("", c.Cause), subject: c.subject(""), limit: c.method.Limit, timeout: timeout, healthy: maxHealthy,
	}
	result, err := check.run(ctx, c.Coordinator)
	if err != nil && len(result.Failed) == 0 {
		return nil, err
	}
	if err != nil {
		c.options.Logger.WarnContext(ctx, "tasks of instances that died are not all put back yet; the monitor goes on", "error", err)
	}
	return json.Marshal(result)
}

// Sweep is one tick of the monitor: it declares dead who has been silent for the instance TTL, puts back
// what they and others have left behind, and gives it to those that are alive. It also goes on with a
// flush that was left behind, and tells what this coordinator's circuit breakers did. Any number of coordinators may do it at once.
func (c *Coordinator) Sweep(ctx context.Context) error {
	if isFenced, err := c.recoverFlush(ctx); isFenced || err != nil {
		return err
	}
	tick := sweep{
		envelope: envelopeContext("coordinator", "", ""), timeout: ms(c.options.InstanceTTL), interval: ms(c.options.MonitorInterval),
	}
	_, err := tick.run(ctx, c)
	if err == nil {
		err = c.reportCircuits(ctx)
	}
	if flushUnderWay(err) {
		return nil
	}
	return err
}

// sweep looks for the dead once.
type sweep struct {
	envelope, subject string
	limit             int
	timeout, interval int64 // ms; interval 0 when it is not the monitor who asks
	healthy           int
}

// run gives what it found also with an error: those are declared dead.
func (s sweep) run(ctx context.Context, c *Coordinator) (*CheckHealthResult, error) {
	result := &CheckHealthResult{Healthy: []string{}, Failed: []string{}, Reassigned: map[string]int{}}
	for more := true; more; {
		reply, err := c.script(ctx, reassignFailedTasks, s.envelope, s.subject, s.limit, s.timeout, s.interval,
			ms(c.options.InstanceTTL), s.healthy)
		if err != nil {
			return result, err
		}
		if more, err = result.add(reply); err != nil {
			return result, err
		}
		s.limit = 0 // one call, however many turns it takes
	}
	// Also when nobody died: somebody may have stopped before all was put back.
	moved, err := c.requeueOrphans(ctx)
	if err != nil {
		return result, err
	}
	if moved > 0 || len(result.Failed) > 0 {
		err = c.autoAssign(ctx, s.envelope, "", "instance_failed")
	}
	return result, err
}

// add takes in a reply of reassign_failed_tasks and tells whether there is more to do.
func (r *CheckHealthResult) add(reply any) (more bool, err error) {
	values, ok := reply.([]any)
	if !ok || len(values) != 3 {
		return false, fmt.Errorf("reassign_failed_tasks returned %v", reply)
	}
	failed, _ := values[0].([]any)
	for i := 0; i+1 < len(failed); i += 2 {
		id, tasks := fmt.Sprint(failed[i]), failed[i+1].(int64) //nolint:forcetypeassert // a Lua number
		r.Failed = append(r.Failed, id)
		r.Reassigned[id] = int(tasks)
	}
	healthy, _ := values[2].([]any)
	for _, id := range healthy {
		r.Healthy = append(r.Healthy, fmt.Sprint(id))
	}
	return values[1] == int64(1), nil
}
