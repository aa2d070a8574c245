package task

import (
	"context"
	"encoding/json"
	"strconv"
	"strings"
	"time"

	"github.com/claudebench/claudebench/internal/api"
	"github.com/claudebench/claudebench/internal/breaker"
	"github.com/claudebench/claudebench/internal/command"
	"github.com/claudebench/claudebench/lua"
)

var readTaskHistory = lua.Bind[lua.NoArgs]("read_task_history")

func (o Options) historyMethod() (*command.Method, error) {
	return command.New[api.TaskHistoryParams, api.EventsResult](command.Spec{
		Name: "task.history",
		Description: "List the events of a task, with actor and cause, from the index in Postgres: also of a deleted task, and after its events " +
			"were trimmed from the log. A task without events has an empty list.",
		Limit:   600,
		Timeout: 10 * time.Second,
		Breaker: breaker.Setting{Failures: 5, Open: 30 * time.Second},
		Roles:   command.Readers,
		Hidden:  true,
		Effect:  command.Reads,
		Refine:  command.RefineEvents,
	}, o.history)
}

func (o Options) history(ctx context.Context, c *command.Call, p *api.TaskHistoryParams) (json.RawMessage, error) {
	return command.ReadEvents(ctx, c, readTaskHistory, o.Index, o.Shares, p.Limit, p.Cursor,
		api.EventQuery{Task: numberOf(p.ID), Descending: p.Order == "desc"})
}

// noTask is the number of no task.
const noTask = -1

// numberOf returns the n of t-<n>, or noTask for any other text.
func numberOf(id api.TaskID) int64 {
	digits, ok := strings.CutPrefix(string(id), "t-")
	n, err := strconv.ParseInt(digits, 10, 64)
	if !ok || err != nil || n < 1 || strconv.FormatInt(n, 10) != digits {
		return noTask
	}
	return n
}
