package task

import (
	"context"
	"encoding/json"
	"fmt"
	"time"

	"github.com/google/jsonschema-go/jsonschema"

	"github.com/claudebench/claudebench/internal/api"
	"github.com/claudebench/claudebench/internal/breaker"
	"github.com/claudebench/claudebench/internal/command"
	"github.com/claudebench/claudebench/internal/jsontext"
	"github.com/claudebench/claudebench/internal/params"
	"github.com/claudebench/claudebench/lua"
)

type reportProgressArgs struct {
	ID, Worker             string
	Attempt                int
	Percent, Message, Data []byte // JSON
	Agent                  string
}

var reportProgress = lua.Bind[reportProgressArgs]("report_progress")

const (
	maxMessage      = 500 // characters
	maxProgressData = 16 << 10
)

func progressMethod() (*command.Method, error) {
	return command.New[api.ProgressParams, api.ProgressResult](command.Spec{
		Name: "task.progress",
		Description: "Say how far a claimed task is. The call is a sign of life: it renews the worker's registration and begins the task's " +
			"time limit anew. Its answer says whether the task was called off.",
		Limit:   6000,
		Timeout: 5 * time.Second,
		Breaker: breaker.Setting{Failures: 5, Open: 30 * time.Second},
		Roles:   command.Writers,
		Hidden:  true,
		Effect:  command.Sets,
		Refine: func(p map[string]*jsonschema.Schema) {
			params.Between(p["attempt"], 0, jsontext.MaxInteger)
			params.Between(p["percent"], 0, 100)
			p["message"].MaxLength = new(maxMessage)
		},
	}, func(ctx context.Context, c *command.Call, p *api.ProgressParams) (json.RawMessage, error) {
		percent, data := []byte("null"), []byte("null")
		if p.Percent != nil {
			var err error
			if percent, err = json.Marshal(*p.Percent); err != nil {
				return nil, fmt.Errorf("encode the percentage: %w", err)
			}
		}
		if p.Data != nil {
			data = p.Data
		}
		if len(data) > maxProgressData {
			return nil, api.InvalidParams(fmt.Sprintf("data parameter must be at most %d bytes long, but has %d", maxProgressData, len(data)))
		}
		worker := string(p.WorkerID)
		return command.Decide(ctx, c, reportProgress, worker, reportProgressArgs{
			ID: string(p.ID), Worker: worker, Attempt: p.Attempt, Percent: percent, Message: quoted(p.Message), Data: data, Agent: c.Agent(),
		})
	})
}
