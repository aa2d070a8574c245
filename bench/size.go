package main

import (
	"context"
	"fmt"
	"time"

	"github.com/claudebench/claudebench/bench/wire"
)

// fleet is a coordinator with a fleet and its tasks, for measuring single calls.
type fleet struct {
	name             string
	tasks, instances int
	program          *program
	conn             *wire.HTTP
	turn             int                        // how many rounds of calls were made
	times            map[string][]time.Duration // by method
}

// sizeMethods are the methods whose times are compared.
var sizeMethods = []string{"system.register", "system.heartbeat", "task.create", "task.claim", "task.complete"}

// size compares the time of a call, made alone, in a large fleet and in a small one. Each has its
// own Redis, and the calls alternate between the two.
func (b *bench) size(ctx context.Context) error {
	small := &fleet{name: "small", tasks: 1_000, instances: 10}
	large := &fleet{name: "large", tasks: 200_000, instances: 5_000}
	return b.with(ctx, "small", func(first *stack) error {
		return b.with(ctx, "large", func(second *stack) error {
			for fleet, st := range map[*fleet]*stack{small: first, large: second} {
				b.say("    %s: %d tasks, %d instances", fleet.name, fleet.tasks, fleet.instances)
				if err := fleet.fill(ctx, st); err != nil {
					return err
				}
			}
			for _, fleet := range []*fleet{small, large} {
				if err := fleet.program.settled(ctx); err != nil {
					return err
				}
			}
			if err := b.calls(ctx, small, large); err != nil {
				return err
			}
			for _, method := range sizeMethods {
				few, many := middle(small.times[method]), middle(large.times[method])
				b.ratio(method+", large fleet / small fleet", many, few, 1.3)
			}
			return nil
		})
	})
}

// calls makes the calls of fleets in turns. Turns are short, so that other load on the machine affects
// all fleets.
func (b *bench) calls(ctx context.Context, fleets ...*fleet) error {
	for _, fleet := range fleets {
		// Connect only now, because a server closes connections that stay idle.
		var err error
		if fleet.conn, err = wire.DialHTTP(ctx, fleet.program.addr); err != nil {
			return err
		}
		defer fleet.conn.Close()
	}
	for end := time.Now().Add(b.duration * time.Duration(b.rounds)); time.Now().Before(end); {
		for _, fleet := range fleets {
			for range 5 {
				if err := fleet.measure(); err != nil {
					return fmt.Errorf("%s: %w", fleet.name, err)
				}
			}
		}
	}
	return nil
}

// fill creates the tasks and then registers the instances, each of which gets as many tasks as it
// may hold.
func (f *fleet) fill(ctx context.Context, st *stack) error {
	var err error
	f.times = map[string][]time.Duration{}
	if f.program, err = st.serve(ctx, coordinator{namespace: "size-" + f.name}); err != nil {
		return err
	}
	if err := createTasks(ctx, st, "size-"+f.name, f.tasks); err != nil {
		return err
	}
	return registerWorkers(ctx, f.program, "agent", f.instances, 10)
}

// measure makes each call once, and leaves the fleet as it was.
func (f *fleet) measure() error {
	f.turn++
	agent, guest := workerName("agent", f.turn%f.instances), workerName("guest", f.turn)
	if _, err := f.call("system.register", registration(guest, 10)); err != nil {
		return err
	}
	if _, err := f.call("system.unregister", fmt.Sprintf(`{"instanceId":%q}`, guest)); err != nil {
		return err
	}
	if _, err := f.call("system.heartbeat", fmt.Sprintf(`{"instanceId":%q}`, agent)); err != nil {
		return err
	}
	if _, err := f.call("task.create", createParams); err != nil {
		return err
	}
	answer, err := f.call("task.claim", fmt.Sprintf(`{"workerId":%q}`, agent))
	if err != nil {
		return err
	}
	for id := range claimedIDs(answer, false) {
		_, err := f.call("task.complete", fmt.Sprintf(`{"id":%q,"workerId":%q}`, id, agent))
		return err
	}
	return fmt.Errorf("%s claimed nothing: %s", agent, answer)
}

func (f *fleet) call(method, params string) ([]byte, error) {
	request := single(f.program.addr, method, params)
	start := time.Now()
	answer, err := f.conn.Call(request)
	f.times[method] = append(f.times[method], time.Since(start))
	return answer, err
}
