package client

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/claudebench/claudebench/internal/api"
	"github.com/claudebench/claudebench/internal/jsontext"
)

// minBeatTime is the minimum time for a heartbeat.
const minBeatTime = 3 * time.Second

// beat sends a heartbeat and reads the tasks whose handlers run, in one request. It ends the context
// of each handler whose task is lost.
func (r *run) beat(ctx context.Context, interval time.Duration) error {
	r.mu.Lock()
	leases := make([]*lease, 0, len(r.held))
	for l := range r.held {
		leases = append(leases, l)
	}
	r.mu.Unlock()
	times := r.times.Load()
	calls, err := r.beatCalls(ctx, leases)
	if err != nil {
		return err
	}
	answers, err := r.client.batch(ctx, max(interval, minBeatTime), calls)
	if err != nil {
		return err
	}
	for i, l := range leases {
		if why := r.lost(l.Task, answers[i+1]); why != "" {
			l.cancel(fmt.Errorf("%w: %s", ErrLeaseLost, why))
		}
	}
	var beat HeartbeatResult
	if err := answers[0].err; err != nil {
		return err
	}
	if err := json.Unmarshal(answers[0].result, &beat); err != nil {
		return fmt.Errorf("decode the answer to a heartbeat: %w", err)
	}
	if beat.Alive {
		return nil
	}
	return r.registerAgain(ctx, times)
}

func (r *run) beatCalls(ctx context.Context, leases []*lease) ([]request, error) {
	calls := make([]request, 0, 1+len(leases))
	add := func(method string, params any) error {
		text, err := jsontext.Marshal(params)
		calls = append(calls, newRequest(ctx, method, text))
		return err
	}
	err := add("system.heartbeat", api.HeartbeatParams{InstanceID: ID(r.ID)})
	for _, l := range leases {
		err = errors.Join(err, add("task.get", api.GetTaskParams{ID: l.ID}))
	}
	return calls, err
}

// lost returns why a lease is lost, by the answer to task.get, or "" if it is not, or not certainly.
func (r *run) lost(t *Task, a answer) string {
	if IsNotFound(a.err) {
		return "it was deleted"
	}
	var now Task
	if a.err != nil || json.Unmarshal(a.result, &now) != nil {
		return ""
	}
	switch {
	case now.Attempt != t.Attempt:
		return fmt.Sprintf("it has attempt %d, this is attempt %d", now.Attempt, t.Attempt)
	case now.Status != "in_progress":
		return "its status is " + now.Status
	case now.AssignedTo == nil || *now.AssignedTo != r.ID:
		return "another instance has it"
	}
	return ""
}

// giveBack returns a task to its queue. It looks first whether the task is still this worker's, and
// tries once, because task.unassign also takes a task from its next owner.
func (r *run) giveBack(t *Task) {
	var a answer
	a.err = r.client.Call(r.alive, "task.get", api.GetTaskParams{ID: t.ID}, &a.result)
	err := a.err
	if err == nil && r.lost(t, a) == "" {
		_, err = r.client.UnassignTask(r.alive, t.ID)
	}
	if err != nil && !IsLeaseLost(err) {
		r.Logger.Warn("a task could not be given back; it goes back when the worker ends", "task", t.ID, "attempt", t.Attempt, "error", err)
	}
}

// report completes a task with what its handler returned. Once the grace is over, it has as much time
// as it takes to unregister.
func (r *run) report(t *Task, result any, failed error) {
	ctx, cancel := context.WithTimeout(r.alive, reportPatience)
	defer cancel()
	defer context.AfterFunc(r.closing, func() { time.AfterFunc(leavePatience, cancel) })()
	p, err := r.outcome(t, result, failed)
	if err == nil {
		err = r.complete(ctx, p)
	}
	if err != nil && p.Error == nil && !IsLeaseLost(err) && !transient(err) && !IsUnauthorized(err) {
		// The coordinator will never accept this result: it is too long, for example.
		p, _ = r.outcome(t, nil, fmt.Errorf("the result was rejected: %w", err))
		err = r.complete(ctx, p)
	}
	log := r.Logger.With("task", t.ID, "attempt", t.Attempt)
	switch {
	case err == nil && p.Error == nil:
		log.DebugContext(ctx, "a task is completed")
	case err == nil:
		log.InfoContext(ctx, "a task failed", "error", string(p.Error))
	case IsLeaseLost(err):
		log.WarnContext(ctx, "the result of a task is not accepted, because the task is no longer this worker's", "error", err)
	default:
		log.ErrorContext(ctx, "the result of a task could not be reported; the task goes back to the queue when the worker ends", "error", err)
	}
}

// complete calls task.complete until it has an answer.
func (r *run) complete(ctx context.Context, p CompleteTaskParams) error {
	return r.persist(ctx, "complete "+string(p.ID), func() error {
		return r.registered(ctx, func() error {
			_, err := r.client.CompleteTask(ctx, p)
			return err
		})
	})
}

// outcome returns the params of task.complete. The key is that of the attempt, and differs for a
// result and an error.
func (r *run) outcome(t *Task, result any, failed error) (p CompleteTaskParams, err error) {
	p = CompleteTaskParams{ID: t.ID, WorkerID: ID(r.ID), Attempt: &t.Attempt}
	if failed == nil {
		p.IdempotencyKey = fmt.Sprintf("result of %s attempt %d session %s", t.ID, t.Attempt, r.SessionID)
		if p.Result, err = jsontext.Marshal(result); err != nil {
			err = fmt.Errorf("encode the result: %w", err)
		}
		return p, err
	}
	p.IdempotencyKey = fmt.Sprintf("error of %s attempt %d session %s", t.ID, t.Attempt, r.SessionID)
	var structured *Failure
	if errors.As(failed, &structured) && structured.Data != nil {
		if p.Error, err = jsontext.Marshal(structured.Data); err == nil {
			return p, nil
		}
		failed = fmt.Errorf("%w (its data does not encode to JSON: %w)", failed, err)
	}
	p.Error, err = jsontext.Marshal(strings.ReplaceAll(failed.Error(), "\x00", "\uFFFD"))
	return p, err
}
