package server

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/claudebench/claudebench/events"
	"github.com/claudebench/claudebench/internal/api"
	"github.com/claudebench/claudebench/internal/config"
	"github.com/claudebench/claudebench/internal/keys"
	"github.com/claudebench/claudebench/internal/redisconn"
	"github.com/claudebench/claudebench/internal/testenv"
)

// worker registers, sends heartbeats, claims and completes as an agent does. It continues after
// every error.
type worker struct {
	*client
	id   string
	ttl  time.Duration
	done atomic.Int64 // tasks that it completed
}

// run works until ctx ends. With stuck set, it claims tasks and completes none, because it is the
// worker that will die.
func (w *worker) run(ctx context.Context, stuck func(held int)) {
	var beats sync.WaitGroup
	beats.Go(func() {
		for each := time.NewTicker(w.ttl / 5); ; {
			select {
			case <-each.C:
				// The next heartbeat follows soon.
				_, _ = w.ask("system.heartbeat", params{"instanceId": w.id})
			case <-ctx.Done():
				each.Stop()
				return
			}
		}
	})
	defer beats.Wait()
	registered, held := false, 0
	for each := time.NewTicker(5 * time.Millisecond); ; {
		if !registered {
			_, err := w.ask("system.register", params{"id": w.id, "roles": []string{"worker"}})
			registered = err == nil
		} else if text, err := w.ask("task.claim", params{"workerId": w.id}); err != nil {
			var refused *refusal
			registered = !errors.As(err, &refused) || refused.Code != api.CodeNotRegistered
		} else {
			var claim struct {
				TaskID string
				Task   struct{ Attempt int }
			}
			if json.Unmarshal(text, &claim) == nil && claim.TaskID != "" {
				if held++; stuck != nil {
					stuck(held)
				} else if _, err := w.ask("task.complete", params{"id": claim.TaskID, "workerId": w.id, "attempt": claim.Task.Attempt}); err == nil {
					w.done.Add(1)
				}
				continue // there may be more to claim
			}
		}
		select {
		case <-each.C:
		case <-ctx.Done():
			each.Stop()
			return
		}
	}
}

// entries reads the whole log.
func entries(t testing.TB, cfg *config.Config) []events.Envelope {
	t.Helper()
	rdb := redisOf(t, cfg)
	reader, err := events.NewReader(rdb, events.ReaderConfig{Namespace: cfg.Namespace})
	if err != nil {
		t.Fatal(err)
	}
	last, err := reader.Last(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	var all []events.Envelope
	for at := (events.ID{}); at != last; {
		batch, err := reader.Read(t.Context(), at)
		if err != nil {
			t.Fatal(err)
		}
		for _, e := range batch.Entries {
			if e.Err != nil {
				t.Fatalf("entry %s: %v", e.ID, e.Err)
			}
			if all = append(all, e.Envelope); e.Envelope.Seq != int64(len(all)) {
				t.Fatalf("event %d of the log has seq %d", len(all), e.Envelope.Seq)
			}
		}
		at = batch.Last()
	}
	return all
}

func redisOf(t testing.TB, cfg *config.Config) redis.UniversalClient {
	t.Helper()
	rdb, err := redisconn.Open(cfg.RedisURL, cfg.Namespace)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = rdb.Close() })
	return rdb
}

func keysOf(t testing.TB, cfg *config.Config) keys.Space {
	t.Helper()
	space, err := keys.New(cfg.Namespace)
	if err != nil {
		t.Fatal(err)
	}
	return space
}

// count returns how often each event occurs, by type and by the id in its payload.
func count(all []events.Envelope) map[events.Type]map[string]int {
	counts := map[events.Type]map[string]int{}
	for _, e := range all {
		var p struct{ ID, TaskID string }
		_ = json.Unmarshal(e.Payload, &p) // a payload is an object
		if counts[e.Type] == nil {
			counts[e.Type] = map[string]int{}
		}
		counts[e.Type][p.ID+p.TaskID]++
	}
	return counts
}

// A worker dies while it holds tasks. The others finish them, and each task is finished once.
func TestAFleetOutlivesAWorker(t *testing.T) {
	t.Parallel()
	const tasks, ttl = 120, 2 * time.Second
	cfg := settings(t, func(c *config.Config) { c.DatabaseURL = testenv.Postgres(t); c.InstanceTTL = ttl })
	coordinators := []*client{start(t, cfg), start(t, cfg)}
	for _, c := range coordinators {
		c.ready(t)
	}
	for n := range tasks {
		coordinators[n%2].create(t, params{"text": fmt.Sprint("task ", n), "priority": n % 100})
	}

	var fleet sync.WaitGroup
	ctx, stop := context.WithCancel(t.Context())
	defer fleet.Wait()
	defer stop()
	dead, die := context.WithCancel(ctx)
	victim := &worker{client: coordinators[0], id: "victim", ttl: ttl}
	fleet.Go(func() {
		victim.run(dead, func(held int) {
			if held == 5 {
				die()
			}
		})
	})
	<-dead.Done() // it holds five tasks now

	workers := make([]*worker, 4)
	for n := range workers {
		workers[n] = &worker{client: coordinators[n%2], id: fmt.Sprint("worker-", n), ttl: ttl}
		fleet.Go(func() { workers[n].run(ctx, nil) })
	}
	testenv.Eventually(t, 30*time.Second, func() (bool, string) {
		got := call[page](t, coordinators[1], "task.list", params{"status": "completed", "limit": 1})
		return got.TotalCount == tasks, fmt.Sprintf("%d of %d tasks are completed", got.TotalCount, tasks)
	})
	stop()
	fleet.Wait()

	counts := count(entries(t, cfg))
	if n := counts["instance.failed"]["victim"]; n != 1 {
		t.Errorf("the victim failed %d times", n)
	}
	if len(counts["task.completed"]) != tasks || len(counts["task.failed"]) != 0 {
		t.Errorf("%d of %d tasks were completed, %d failed", len(counts["task.completed"]), tasks, len(counts["task.failed"]))
	}
	for id, n := range counts["task.completed"] {
		if n != 1 {
			t.Errorf("%s was completed %d times", id, n)
		}
	}
	var done int64
	for _, w := range workers {
		done += w.done.Load()
	}
	if done != tasks {
		t.Errorf("the workers were told of %d completions, want %d", done, tasks)
	}
	agree(t, coordinators[0], cfg)
}
