package main

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/claudebench/claudebench/bench/wire"
	"github.com/claudebench/claudebench/internal/keys"
)

const (
	deathTasks   = 10_000
	deathTTL     = 3 * time.Second
	survivors    = 20
	slowlogFloor = 200 * time.Microsecond // SLOWLOG omits faster scripts
)

// death kills an instance that holds 10,000 tasks, half of them claimed, while twenty live workers
// have room for all. Each round has its own Redis.
func (b *bench) death(ctx context.Context) error {
	var spans, scripts []time.Duration
	for round := range b.rounds {
		name := "death-" + strconv.Itoa(round+1)
		err := b.with(ctx, name, func(st *stack) error {
			span, script, err := dieOnce(ctx, st, name)
			if err != nil {
				return err
			}
			b.say("    reassigned in %s, longest script %s", span, script)
			spans, scripts = append(spans, span), append(scripts, script)
			return nil
		})
		if err != nil {
			return err
		}
	}
	b.span("10,000 tasks of a dead instance: all reassigned after", middle(spans), 2*time.Second)
	b.span("10,000 tasks of a dead instance: longest script in SLOWLOG", middle(scripts), 5*time.Millisecond)
	return nil
}

func dieOnce(ctx context.Context, st *stack, namespace string) (span, script time.Duration, err error) {
	p, err := st.serve(ctx, coordinator{namespace: namespace, ttl: deathTTL})
	if err != nil {
		return 0, 0, err
	}
	if err := createTasks(ctx, st, namespace, deathTasks); err != nil {
		return 0, 0, err
	}
	// It is the only worker, so it gets all of them.
	if err := once(ctx, p, single(p.addr, "system.register", registration("victim", deathTasks))); err != nil {
		return 0, 0, err
	}
	for range deathTasks / 2 / 10 / batchSize {
		claims := batch(p.addr, "task.claim", batchSize, same(`{"workerId":"victim","maxTasks":10}`))
		if err := once(ctx, p, claims); err != nil {
			return 0, 0, err
		}
	}
	if err := holds(ctx, st, namespace); err != nil {
		return 0, 0, err
	}
	if err := registerWorkers(ctx, p, "survivor", survivors, 2*deathTasks/survivors); err != nil {
		return 0, 0, err
	}
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	beats := make(chan error, 1)
	go func() { beats <- heartbeats(ctx, p) }()
	if err := watchScripts(ctx, st); err != nil {
		return 0, 0, err
	}
	if span, err = reassigned(ctx, st, namespace, beats); err != nil {
		return 0, 0, err
	}
	script, err = longestScript(ctx, st)
	return span, script, err
}

// holds checks that the victim has its tasks.
func holds(ctx context.Context, st *stack, namespace string) error {
	space, err := keys.New(namespace)
	if err != nil {
		return err
	}
	active, err := st.client.ZCard(ctx, space.Active("victim")).Result()
	if err != nil {
		return fmt.Errorf("count the victim's tasks: %w", err)
	}
	assigned, err := st.client.ZCard(ctx, space.Assigned("victim")).Result()
	if err != nil {
		return fmt.Errorf("count the victim's tasks: %w", err)
	}
	if active != deathTasks/2 || assigned != deathTasks/2 {
		return fmt.Errorf("the victim has %d tasks claimed and %d assigned", active, assigned)
	}
	return nil
}

// heartbeats keeps the survivors alive until ctx ends.
func heartbeats(ctx context.Context, p *program) error {
	conn, err := wire.DialHTTP(ctx, p.addr)
	if err != nil {
		return err
	}
	defer conn.Close()
	request := batch(p.addr, "system.heartbeat", survivors, func(i int) string {
		return fmt.Sprintf(`{"instanceId":%q}`, workerName("survivor", i))
	})
	ticker := time.NewTicker(deathTTL / 6)
	defer ticker.Stop()
	for {
		if _, err := conn.Call(request); err != nil {
			return err
		}
		select {
		case <-ctx.Done():
			return nil
		case <-ticker.C:
		}
	}
}

// reassigned waits until every task of the victim has a new owner. It returns the time from
// instance.failed to the last task.assigned, by the log.
func reassigned(ctx context.Context, st *stack, namespace string, beats <-chan error) (time.Duration, error) {
	space, err := keys.New(namespace)
	if err != nil {
		return 0, err
	}
	// So far the log contains only the set-up. Each task is then unassigned and assigned once.
	var failed redis.XMessage
	after, owners, last := "$", map[string]bool{}, int64(0)
	tail, err := st.client.XRevRangeN(ctx, space.Events(), "+", "-", 1).Result()
	if err != nil || len(tail) == 0 {
		return 0, fmt.Errorf("read the log's end: %w", err)
	}
	after = tail[0].ID
	err = until(ctx, pollEvery, func() (bool, error) {
		select {
		case err := <-beats:
			return false, fmt.Errorf("heartbeats: %w", err)
		default:
		}
		entries, err := st.client.XRangeN(ctx, space.Events(), "("+after, "+", 5000).Result()
		if err != nil {
			return false, fmt.Errorf("read the log: %w", err)
		}
		for _, entry := range entries {
			after = entry.ID
			var e struct {
				Type      string
				Timestamp int64
				Payload   struct{ ID, TaskID, InstanceID string }
			}
			data, _ := entry.Values["data"].(string)
			if err := json.Unmarshal([]byte(data), &e); err != nil {
				return false, fmt.Errorf("read event %s: %w", entry.ID, err)
			}
			switch {
			case e.Type == "instance.failed" && e.Payload.ID != "victim":
				return false, fmt.Errorf("%s was taken for dead: the machine is too busy to measure", e.Payload.ID)
			case e.Type == "instance.failed":
				failed = entry
			case e.Type == "task.assigned" && failed.ID != "":
				owners[e.Payload.TaskID], last = true, e.Timestamp
			}
		}
		return len(owners) == deathTasks, nil
	})
	if err != nil {
		return 0, fmt.Errorf("%d tasks have a new owner: %w", len(owners), err)
	}
	began, err := strconv.ParseInt(failed.ID[:strings.IndexByte(failed.ID, '-')], 10, 64)
	return time.Duration(last-began) * time.Millisecond, err
}

// watchScripts makes SLOWLOG record the scripts from now on.
func watchScripts(ctx context.Context, st *stack) error {
	for name, value := range map[string]string{
		"slowlog-log-slower-than": strconv.FormatInt(slowlogFloor.Microseconds(), 10), "slowlog-max-len": "100000",
	} {
		if err := st.client.ConfigSet(ctx, name, value).Err(); err != nil {
			return fmt.Errorf("configure SLOWLOG: %w", err)
		}
	}
	if err := st.client.Do(ctx, "SLOWLOG", "RESET").Err(); err != nil {
		return fmt.Errorf("reset SLOWLOG: %w", err)
	}
	return nil
}

// longestScript returns the longest run of a script in SLOWLOG, or 0 if all were faster than its
// threshold.
func longestScript(ctx context.Context, st *stack) (time.Duration, error) {
	entries, err := st.client.SlowLogGet(ctx, -1).Result()
	if err != nil {
		return 0, fmt.Errorf("read SLOWLOG: %w", err)
	}
	var longest time.Duration
	for _, e := range entries {
		if len(e.Args) > 0 && bytes.HasPrefix(bytes.ToUpper([]byte(e.Args[0])), []byte("EVAL")) {
			longest = max(longest, e.Duration)
		}
	}
	return longest, nil
}
