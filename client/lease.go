package client

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/claudebench/claudebench/internal/api"
	"github.com/claudebench/claudebench/internal/jsontext"
)

// minBeatTime is the minimum time for a heartbeat.
const minBeatTime = 3 * time.Second

// beat sends a heartbeat and reads the tasks whose handlers run, in one request. It ends the context
// of each handler whose task is lost or was called off.
func (r *run) beat(ctx context.Context, interval time.Duration) error {
	leases := r.leases()
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
	for _, l := range leases {
		if slices.Contains(beat.Cancel, l.ID) {
			l.cancel(ErrCancelled)
		}
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

// giveBack returns tasks to their queues, which costs them neither a try nor a loss. It looks first
// whether a task is still this worker's, and tries once, because task.unassign also takes a task from
// its next owner.
func (r *run) giveBack(ctx context.Context, leases ...*lease) {
	ctx, cancel := context.WithTimeout(ctx, leavePatience)
	defer cancel()
	for _, l := range leases {
		var a answer
		a.err = r.client.Call(ctx, "task.get", api.GetTaskParams{ID: l.ID}, &a.result)
		err := a.err
		if err == nil && r.lost(l.Task, a) == "" {
			_, err = r.client.UnassignTask(ctx, l.ID)
		}
		if err != nil && !IsLeaseLost(err) {
			r.Logger.Warn("a task could not be given back; it goes back when the worker ends", "task", l.ID, "attempt", l.Attempt, "error", err)
		}
	}
}

// report completes a task with what its handler returned.
func (r *run) report(t *Task, result any, failed error) {
	ctx, cancel := r.reporting()
	defer cancel()
	p, err := r.outcome(t, result, failed)
	var done *CompleteTaskResult
	if err == nil {
		done, err = r.complete(ctx, p)
	}
	if err != nil && p.Error == nil && !IsLeaseLost(err) && !transient(err) && !IsUnauthorized(err) {
		// The coordinator will never accept this result: it is too long, for example.
		p, _ = r.outcome(t, nil, fmt.Errorf("the result was rejected: %w", err))
		done, err = r.complete(ctx, p)
	}
	r.logReport(t, p, done, err)
}

// reportCancelled ends a task that was called off.
func (r *run) reportCancelled(t *Task) {
	ctx, cancel := r.reporting()
	defer cancel()
	p := r.completion(t, "cancellation")
	p.Cancelled = true
	done, err := r.complete(ctx, p)
	r.logReport(t, p, done, err)
}

// reporting returns the context of a report. Once the grace is over, a report has as much time as it
// takes to unregister.
func (r *run) reporting() (ctx context.Context, cancel func()) {
	ctx, end := context.WithTimeout(r.alive, reportPatience)
	forget := context.AfterFunc(r.closing, func() { time.AfterFunc(leavePatience, end) })
	return ctx, func() { forget(); end() }
}

func (r *run) logReport(t *Task, p CompleteTaskParams, done *CompleteTaskResult, err error) {
	ctx, log := r.alive, r.Logger.With("task", t.ID, "attempt", t.Attempt)
	switch {
	case err == nil && p.Cancelled:
		log.InfoContext(ctx, "a task was called off and has ended")
	case err == nil && p.Error == nil:
		log.DebugContext(ctx, "a task is completed")
	case err == nil && done.RunAt != "":
		log.InfoContext(ctx, "a task failed and is tried again", "error", string(p.Error), "at", done.RunAt)
	case err == nil:
		log.InfoContext(ctx, "a task failed", "error", string(p.Error))
	case IsLeaseLost(err):
		log.WarnContext(ctx, "the result of a task is not accepted, because the task is no longer this worker's", "error", err)
	default:
		log.ErrorContext(ctx, "the result of a task could not be reported; the task goes back to the queue when the worker ends", "error", err)
	}
}

// complete calls task.complete until it has an answer.
func (r *run) complete(ctx context.Context, p CompleteTaskParams) (result *CompleteTaskResult, err error) {
	err = r.persist(ctx, "complete "+string(p.ID), func() error {
		return r.registered(ctx, func() (err error) {
			result, err = r.client.CompleteTask(ctx, p)
			return err
		})
	})
	return result, err
}

// completion returns the params of task.complete. The key is that of the attempt, and differs for a
// result, an error and a cancellation.
func (r *run) completion(t *Task, what string) CompleteTaskParams {
	return CompleteTaskParams{
		ID: t.ID, WorkerID: ID(r.ID), Attempt: &t.Attempt,
		IdempotencyKey: fmt.Sprintf("%s of %s attempt %d session %s", what, t.ID, t.Attempt, r.SessionID),
	}
}

// outcome returns the params of task.complete for what a handler returned.
func (r *run) outcome(t *Task, result any, failed error) (p CompleteTaskParams, err error) {
	if failed == nil {
		p = r.completion(t, "result")
		if p.Result, err = jsontext.Marshal(result); err != nil {
			err = fmt.Errorf("encode the result: %w", err)
		}
		return p, err
	}
	p = r.completion(t, "error")
	var structured *Failure
	if errors.As(failed, &structured) && structured.Final {
		p.Retryable = new(false)
	}
	if structured != nil && structured.Data != nil {
		if p.Error, err = jsontext.Marshal(structured.Data); err == nil {
			return p, nil
		}
		failed = fmt.Errorf("%w (its data does not encode to JSON: %w)", failed, err)
	}
	p.Error, err = jsontext.Marshal(strings.ReplaceAll(failed.Error(), "\x00", "\uFFFD"))
	return p, err
}
