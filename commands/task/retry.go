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
		retried := 0
		result := api.RetryTaskResult{Retried: &retried}
		for _, id := range p.IDs {
			one, err := revive(ctx, c, id)
			if err != nil {
				return nil, err
			}
			if one.Reason == "" {
				retried++
			}
			result.Tasks = append(result.Tasks, one)
		}
		return jsontext.Marshal(result)
	})
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
	case refused.Code != "CONFLICT":
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
