package audit_test

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"sync"

	"github.com/claudebench/claudebench/internal/api"
)

// workload runs random commands. Most of them are rejected; the others must add up.
type workload struct {
	*bundle
	random    *rand.Rand
	instances int
	timed     bool // some tasks have options, and time passes for them

	mu    *sync.Mutex
	known *[]string // ids of tasks
}

func newWorkload(b *bundle) *workload {
	return &workload{bundle: b, instances: 6, mu: &sync.Mutex{}, known: &[]string{}}
}

func (w *workload) with(seed uint64) *workload {
	copied := *w
	copied.random = rand.New(rand.NewPCG(seed, 7)) //nolint:gosec // a test's random source
	return &copied
}

func (w *workload) task() string {
	w.mu.Lock()
	defer w.mu.Unlock()
	if len(*w.known) == 0 {
		return "t-1"
	}
	// The last ones are more often still open.
	n := min(len(*w.known), 40)
	return (*w.known)[len(*w.known)-1-w.random.IntN(n)]
}

func (w *workload) instance() string { return fmt.Sprintf("w:%d", w.random.IntN(w.instances)) }

var (
	someMetadata = []object{
		nil, nil, nil, {"roles": []string{"gpu"}}, {"roles": []string{"gpu", "cpu", "gpu"}}, {"note": "<é> & 12345678901234567890"},
	}
	someRoles = [][]string{{"worker"}, {"worker", "gpu"}, {"worker", "gpu", "cpu"}, {"observer"}, {}, {"worker", "worker", "cpu"}}
)

// step runs one command. Rejections are normal, so only faults of the coordinator are returned.
func (w *workload) step(ctx context.Context) error {
	var err error
	r := w.random
	if w.timed && r.IntN(4) == 0 {
		if err = w.timedStep(ctx); isFault(err) {
			return err
		}
		return nil
	}
	switch n := r.IntN(100); {
	case n < 22:
		var result object
		if result, err = w.try(ctx, "task.create", w.creation()); err == nil {
			w.learn(result)
		}
	case n < 25:
		err = w.createMany(ctx)
	case n < 46:
		_, err = w.try(ctx, "task.claim", object{"workerId": w.instance(), "maxTasks": 1 + r.IntN(3)})
	case n < 48:
		_, err = w.try(ctx, "task.claim", object{"workerId": w.instance(), "maxTasks": 2 + r.IntN(99)})
	case n < 63:
		_, err = w.try(ctx, "task.complete", w.completion())
	case n < 66:
		items := make([]object, 1+r.IntN(40))
		for i := range items {
			items[i] = w.completion()
		}
		_, err = w.try(ctx, "task.complete_many", object{"items": items})
	case n < 76:
		updates := object{"priority": r.IntN(101)}
		switch r.IntN(4) {
		case 0:
			updates = object{"status": []string{"pending", "in_progress", "completed", "failed"}[r.IntN(4)]}
		case 1:
			updates["metadata"] = object{"roles": someRoles[r.IntN(len(someRoles))], "seen": r.IntN(9)}
		case 2:
			updates["text"] = "another text"
		}
		_, err = w.try(ctx, "task.update", object{"id": w.task(), "updates": updates})
	case n < 82:
		_, err = w.try(ctx, "task.assign", object{"taskId": w.task(), "instanceId": w.instance()})
	case n < 86:
		_, err = w.try(ctx, "task.unassign", object{"taskId": w.task()})
	case n < 88:
		_, err = w.try(ctx, "task.delete", object{"id": w.task()})
	case n < 92:
		metadata := object{"maxTasks": r.IntN(5)}
		if r.IntN(2) == 0 {
			metadata["sessionId"] = fmt.Sprintf("s%d", r.IntN(2))
		}
		_, err = w.try(ctx, "system.register", object{"id": w.instance(), "roles": someRoles[r.IntN(len(someRoles))], "metadata": metadata})
	case n < 95:
		_, err = w.try(ctx, "system.heartbeat", object{"instanceId": w.instance()})
	case n < 96:
		_, err = w.try(ctx, "queue.pause", w.queue())
	case n < 97:
		_, err = w.try(ctx, "queue.resume", w.queue())
	case n < 98:
		_, err = w.try(ctx, "system.unregister", object{"instanceId": w.instance()})
	case n < 99:
		_, err = w.try(ctx, "system.check_health", object{"timeout": r.IntN(20)})
	default:
		err = w.coordinator.Sweep(ctx)
	}
	if isFault(err) {
		return err
	}
	return nil
}

// queue returns params of queue.pause and queue.resume.
func (w *workload) queue() object {
	return []object{{}, {"roles": []string{}}, {"roles": []string{"gpu"}}, {"roles": []string{"gpu", "cpu"}}}[w.random.IntN(4)]
}

// creation returns params of task.create.
func (w *workload) creation() object {
	params := object{"text": "a task", "priority": w.random.IntN(4) * 30}
	if m := someMetadata[w.random.IntN(len(someMetadata))]; m != nil {
		params["metadata"] = m
	}
	if w.timed {
		w.options(params)
	}
	return params
}

// options adds options to the params of task.create. Each of them is left out more often than not.
func (w *workload) options(params object) {
	r := w.random
	some := func(name string, values ...any) {
		if r.IntN(4) == 0 {
			params[name] = values[r.IntN(len(values))]
		}
	}
	some("delayMs", 0, 1, 5, 3_600_000)
	if params["delayMs"] == nil {
		some("runAt", "2001-02-03T04:05:06+01:00", "2095-01-01T00:00:00Z")
	}
	some("retry", object{"maxAttempts": 1 + r.IntN(4), "backoffMs": []int{0, 1, 3_600_000}[r.IntN(3)], "factor": 1.5, "jitter": r.Float64()})
	some("timeoutMs", 1000, 604_800_000)
	some("uniqueKey", "u1", "u:2 \"é\"")
	some("limitKey", "l1", "l:2 \"é\"")
	if r.IntN(4) == 0 {
		needs := []string{w.task()}
		if other := w.task(); other != needs[0] {
			needs = append(needs, other)
		}
		params["dependsOn"] = needs
		some("onDependencyFailure", "run", "cancel")
	}
}

// claimed returns the id of a task, in most cases of one that is in progress.
func (w *workload) claimed(ctx context.Context) (id string) {
	for range 1 + w.random.IntN(20) {
		id = w.task()
		if task, err := w.try(ctx, "task.get", object{"id": id}); err == nil && task["status"] == "in_progress" {
			break
		}
	}
	return id
}

// timedStep runs one command about what only some tasks have, or lets time pass.
func (w *workload) timedStep(ctx context.Context) (err error) {
	r := w.random
	limit := object{"key": []string{"l1", "l:2 \"é\""}[r.IntN(2)]}
	switch r.IntN(10) {
	case 0, 1:
		params := object{"id": w.claimed(ctx), "reason": "no more"}
		if r.IntN(3) > 0 {
			params["graceMs"] = r.IntN(2)
		}
		_, err = w.try(ctx, "task.cancel", params)
	case 2, 3:
		var task object
		if task, err = w.try(ctx, "task.get", object{"id": w.claimed(ctx)}); err == nil && task["assignedTo"] != nil {
			_, err = w.try(ctx, "task.progress", object{
				"id": task["id"], "workerId": task["assignedTo"], "attempt": task["attempt"], "percent": r.IntN(101), "data": object{"a": []any{}},
			})
		}
	case 4, 5:
		_, err = w.try(ctx, "task.retry", object{"id": w.task()})
	case 6:
		limit["concurrent"] = r.IntN(5)
		_, err = w.try(ctx, "limit.set", limit)
	case 7:
		_, err = w.try(ctx, "limit.delete", limit)
	case 8:
		params := w.completion()
		params["cancelled"] = params["error"] == nil && params["result"] == nil
		if params["error"] != nil {
			params["retryable"] = false
		}
		_, err = w.try(ctx, "task.complete", params)
	default:
		_, err = w.coordinator.StepTimers(ctx)
	}
	return err
}

// completion returns params of task.complete.
func (w *workload) completion() object {
	params := object{"id": w.task()}
	switch w.random.IntN(3) {
	case 0:
		params["error"] = object{"why": "it broke"}
	case 1:
		params["result"] = []any{1, "é", nil}
	}
	if w.random.IntN(4) == 0 {
		params["attempt"] = w.random.IntN(3)
	}
	return params
}

// createMany creates tasks together. Some items are repeated, and some are wrong.
func (w *workload) createMany(ctx context.Context) error {
	items := make([]object, 1+w.random.IntN(40))
	for i := range items {
		items[i] = w.creation()
		switch w.random.IntN(8) {
		case 0:
			items[i]["text"] = ""
		case 1:
			items[i]["idempotencyKey"] = fmt.Sprint("k", w.random.IntN(9))
		}
	}
	result, err := w.try(ctx, "task.create_many", object{"tasks": items})
	if err != nil {
		return err
	}
	for _, answer := range result["answers"].([]any) {
		if task, ok := answer.(object)["result"].(object); ok {
			w.learn(task)
		}
	}
	return nil
}

// learn remembers a task that was created.
func (w *workload) learn(task object) {
	w.mu.Lock()
	defer w.mu.Unlock()
	*w.known = append(*w.known, task["id"].(string))
}

func isFault(err error) bool {
	var failed *api.Error
	if errors.As(err, &failed) {
		return failed.Code == api.CodeInternal
	}
	return err != nil
}
