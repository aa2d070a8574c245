package task

import (
	"context"
	"encoding/json"
	"errors"
	"reflect"
	"slices"
	"strings"
	"time"

	"github.com/google/jsonschema-go/jsonschema"

	"github.com/claudebench/claudebench/events"
	"github.com/claudebench/claudebench/internal/api"
	"github.com/claudebench/claudebench/internal/breaker"
	"github.com/claudebench/claudebench/internal/command"
	"github.com/claudebench/claudebench/internal/flush"
	"github.com/claudebench/claudebench/internal/jsontext"
	"github.com/claudebench/claudebench/internal/params"
	"github.com/claudebench/claudebench/internal/taskview"
	"github.com/claudebench/claudebench/lua"
)

const (
	// maxMatching is the maximum number of tasks that a call changes.
	maxMatching = 10_000
	// matchingStep is how many of them it finds and changes in one step.
	matchingStep    = 500
	matchingTimeout = 30 * time.Second
	// matchingTime is how long a call begins further steps.
	matchingTime = 20 * time.Second
)

// matching describes a method that changes all tasks that match a filter. The view finds them, and a
// script decides each of them as the method for one task does.
type matching[A any] struct {
	name, description string
	effect            command.Effect
	statuses          []string // in which a task can be changed
	notCalledOff      bool     // whether a task can be changed only if it was not called off before
	script            lua.Bound[A]
}

func refineMatching(p map[string]*jsonschema.Schema) {
	refineFilter(p["filter"].Properties)
	p["filter"].MinProperties = new(1)
	params.Between(p["limit"], 1, maxMatching)
}

// methodOf returns the method. read returns the filter, the limit, and the arguments of the script
// for a task.
func methodOf[P, A any](o Options, m matching[A], refine func(map[string]*jsonschema.Schema),
	read func(c *command.Call, p *P) (api.TaskFilterParams, *int, func(id, statuses string) A),
) (*command.Method, error) {
	return command.New[P, api.MatchingResult](command.Spec{
		Name: m.name, Description: m.description,
		Limit:   60,
		Timeout: matchingTimeout,
		Breaker: breaker.Setting{Failures: 5, Open: 30 * time.Second},
		Roles:   command.Writers,
		Hidden:  true,
		Effect:  m.effect,
		Refine:  refine,
	}, func(ctx context.Context, c *command.Call, p *P) (json.RawMessage, error) {
		filter, limit, args := read(c, p)
		if reflect.ValueOf(filter).IsZero() {
			return nil, api.InvalidParams("filter parameter: it selects every task; name at least one member")
		}
		f, err := filterOf("filter.", filter)
		if err != nil {
			return nil, err
		}
		if f.Statuses == nil {
			f.Statuses = m.statuses
		}
		if f.Statuses = slices.DeleteFunc(slices.Clone(f.Statuses), func(s string) bool { return !slices.Contains(m.statuses, s) }); len(f.Statuses) == 0 {
			return nil, api.InvalidParams("filter parameter: it selects only tasks that the method cannot change")
		}
		f.NotCalledOff = m.notCalledOff
		defer o.Timers.Look()                                 // for the tasks that depend on these
		statuses := "," + strings.Join(f.Statuses, ",") + "," // the view may be behind
		result, err := o.change(ctx, c, m.script.Script, f, params.Or(limit, maxMatching), func(id string) []any {
			return m.script.CommandArgs(c.EventContext("", c.Cause), c.Subject(""), "0", args(id, statuses))
		})
		if err != nil {
			return nil, err
		}
		return jsontext.Marshal(result)
	})
}

// change runs a script for each task that matches a filter, in steps, until limit tasks are changed. It
// returns an error only if it has changed nothing.
func (o Options) change(ctx context.Context, c *command.Call, script *lua.Script, f api.TaskFilter, limit int, args func(id string) []any) (*api.MatchingResult, error) {
	began, result := time.Now(), &api.MatchingResult{}
	var matches taskview.Matches
	find := func(after int64) (err error) {
		if matches, err = o.View.Matching(ctx, f, after, min(limit-result.Done, matchingStep)); err != nil {
			return taskview.APIError(err)
		}
		return nil
	}
	var err error
	result.Behind, err = command.ReadView(ctx, c, listTasks, o.View, o.Shares, func() (events.ID, error) {
		err := find(0)
		return matches.At, err
	})
	for err == nil && len(matches.IDs) > 0 {
		asked := min(limit-result.Done, matchingStep)
		result.Matched += len(matches.IDs)
		calls := make([][]any, len(matches.IDs))
		for i, id := range matches.IDs {
			calls[i] = args(id)
		}
		for _, reply := range c.Scripts().RunMany(ctx, script, calls) {
			var refused *lua.Error
			switch {
			case reply.Err == nil:
				result.Done++
			case errors.As(reply.Err, &refused) && !flush.UnderWay(reply.Err):
			case err == nil, errors.Is(reply.Err, lua.ErrOutcomeUnknown): // the error that promises least
				err = reply.Err // a store failed or a flush has begun, and what follows fails too
			}
		}
		if err != nil || len(matches.IDs) < asked || result.Done >= limit {
			break
		}
		if time.Since(began) > matchingTime { // the others are not the caller's
			result.Incomplete = true
			break
		}
		err = find(matches.Last)
	}
	if err != nil && result.Done == 0 {
		return nil, err
	}
	result.Incomplete = result.Incomplete || err != nil
	return result, nil
}

func (o Options) cancelManyMethod() (*command.Method, error) {
	return methodOf(o, matching[cancelTaskArgs]{
		name: "task.cancel_many",
		description: "Call off all tasks that match a filter, as task.cancel does. The call works in steps, and may be repeated: it goes on with " +
			"what is left.",
		effect: command.Sets, statuses: []string{events.StatusScheduled, events.StatusBlocked, events.StatusPending, events.StatusInProgress},
		notCalledOff: true, script: cancelTask,
	}, func(p map[string]*jsonschema.Schema) {
		refineMatching(p)
		refineCancel(p)
	}, func(c *command.Call, p *api.CancelMatchingParams) (api.TaskFilterParams, *int, func(id, statuses string) cancelTaskArgs) {
		return p.Filter, p.Limit, func(id, statuses string) cancelTaskArgs {
			args := o.cancelArgs(c, id, p.Reason, p.GraceMs)
			args.Statuses = statuses
			return args
		}
	})
}

func (o Options) retryManyMethod() (*command.Method, error) {
	return methodOf(o, matching[retryTaskArgs]{
		name:        "task.retry_many",
		description: "Try all failed or cancelled tasks that match a filter again, as task.retry does. The call works in steps, and may be repeated.",
		effect:      command.Sets, statuses: []string{events.StatusFailed, events.StatusCancelled},
		script: retryTask,
	}, refineMatching, func(c *command.Call, p *api.MatchingParams) (api.TaskFilterParams, *int, func(id, statuses string) retryTaskArgs) {
		return p.Filter, p.Limit, func(id, statuses string) retryTaskArgs {
			args := retryArgs(c, id)
			args.Statuses = statuses
			return args
		}
	})
}

func (o Options) deleteManyMethod() (*command.Method, error) {
	return methodOf(o, matching[deleteTaskArgs]{
		name:        "task.delete_many",
		description: "Delete all tasks that match a filter, as task.delete does. The call works in steps, and may be repeated.",
		effect:      command.Destroys, statuses: api.TaskStatuses,
		script: deleteTask,
	}, refineMatching, func(c *command.Call, p *api.MatchingParams) (api.TaskFilterParams, *int, func(id, statuses string) deleteTaskArgs) {
		return p.Filter, p.Limit, func(id, statuses string) deleteTaskArgs {
			args := deleteArgs(c, id)
			args.Statuses = statuses
			return args
		}
	})
}
