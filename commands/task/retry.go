package task

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"github.com/google/jsonschema-go/jsonschema"

	"github.com/claudebench/claudebench/internal/api"
	"github.com/claudebench/claudebench/internal/breaker"
	"github.com/claudebench/claudebench/internal/command"
	"github.com/claudebench/claudebench/internal/flush"
	"github.com/claudebench/claudebench/internal/jsontext"
	"github.com/claudebench/claudebench/lua"
)

type retryTaskArgs struct {
	ID       string
	Actor    []byte // JSON
	Agent    string
	Statuses string // one of which the task must have; "" for any
}

var retryTask = lua.Bind[retryTaskArgs]("retry_task")

const maxRetried = 100

func retryMethod() (*command.Method, error) {
	return command.New[api.RetryTaskParams, api.RetryTaskResult](command.Spec{
		Name: "task.retry",
		Description: "Try a failed or cancelled task again from the beginning: its failures start from none, its attempt goes on rising. What " +
			"was cancelled because of it stays cancelled.",
		Limit:   600,
		Timeout: 5 * time.Second,
		Breaker: breaker.Setting{Failures: 5, Open: 30 * time.Second},
		Roles:   command.Writers,
		Hidden:  true,
		Effect:  command.Sets,
		Refine: func(p map[string]*jsonschema.Schema) {
			p["ids"].MinItems, p["ids"].MaxItems = new(1), new(maxRetried)
		},
	}, func(ctx context.Context, c *command.Call, p *api.RetryTaskParams) (json.RawMessage, error) {
		switch {
		case (p.ID == "") == (p.IDs == nil):
			return nil, api.InvalidParams("ids parameter: pass either id or ids")
		case p.ID != "":
			return command.Decide(ctx, c, retryTask, "", retryArgs(c, string(p.ID)))
		}
		return reviveAll(ctx, c, p.IDs)
	})
}

// reviveAll revives several tasks. If a store fails or a flush begins on the way, the answers of the
// tasks that are left say so. It returns an error only if it has revived none.
func reviveAll(ctx context.Context, c *command.Call, ids []api.TaskID) (json.RawMessage, error) {
	retried := 0
	result := api.RetryTaskResult{Retried: &retried}
	for i, id := range ids {
		one, err := revive(ctx, c, id)
		reason := cutShort(err)
		switch {
		case err != nil && (retried == 0 || reason == ""):
			return nil, err
		case err != nil:
			one.Reason = reason
		case one.Reason == "":
			retried++
		}
		result.Tasks = append(result.Tasks, one)
		if reason == "" {
			continue
		}
		if reason == outcomeUnknown {
			reason = redisUnavailable // the others were not sent
		}
		for _, left := range ids[i+1:] {
			result.Tasks = append(result.Tasks, api.RetriedTask{ID: left, Reason: reason})
		}
		break
	}
	return jsontext.Marshal(result)
}

// The reasons of a task that a call with several did not revive because of something else.
const (
	outcomeUnknown   = "OUTCOME_UNKNOWN"
	redisUnavailable = "REDIS_UNAVAILABLE"
	flushInProgress  = "FLUSH_IN_PROGRESS"
)

// cutShort returns the reason for an error that is not about a task, "" for any other.
func cutShort(err error) string {
	switch {
	case errors.Is(err, lua.ErrOutcomeUnknown):
		return outcomeUnknown
	case errors.Is(err, lua.ErrUnavailable):
		return redisUnavailable
	case flush.UnderWay(err):
		return flushInProgress
	}
	return ""
}

// revive revives one task of several. It returns an error only if that is not about the task.
func revive(ctx context.Context, c *command.Call, id api.TaskID) (api.RetriedTask, error) {
	one := api.RetriedTask{ID: id}
	text, err := command.Decide(ctx, c, retryTask, "", retryArgs(c, string(id)))
	var refused *lua.Error
	switch {
	case err == nil:
		if err := json.Unmarshal(text, &one); err != nil {
			return one, fmt.Errorf("read a revived task: %w", err)
		}
		return one, nil
	case !errors.As(err, &refused):
		return one, err
	case refused.Code == "NOT_FOUND", refused.Code == "UNAUTHORIZED":
		one.Reason = refused.Code
		return one, nil
	case refused.Code != "CONFLICT", flush.UnderWay(err):
		return one, err
	}
	var detail struct{ Reason string }
	if err := json.Unmarshal([]byte(refused.Detail), &detail); err != nil {
		return one, fmt.Errorf("read the reason of a conflict: %w", err)
	}
	one.Reason = detail.Reason
	return one, nil
}

func retryArgs(c *command.Call, id string) retryTaskArgs {
	return retryTaskArgs{ID: id, Actor: jsontext.Quote(c.Actor("")), Agent: c.Agent()}
}
