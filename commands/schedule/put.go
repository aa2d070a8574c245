package schedule

import (
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"time"

	"github.com/google/jsonschema-go/jsonschema"

	"github.com/claudebench/claudebench/internal/api"
	"github.com/claudebench/claudebench/internal/breaker"
	"github.com/claudebench/claudebench/internal/command"
	"github.com/claudebench/claudebench/internal/cron"
	"github.com/claudebench/claudebench/internal/params"
	"github.com/claudebench/claudebench/internal/schedule"
	"github.com/claudebench/claudebench/lua"
)

const (
	defaultTimezone = "UTC"
	// maxTimezone is longer than any name of the IANA database, in bytes.
	maxTimezone = 64
	// maxTask is the maximum size of the params of task.create in a schedule, in bytes.
	maxTask = 64 << 10
)

type putScheduleArgs struct {
	ID, Cron, Timezone, CatchUp string
	Paused                      bool
	Next                        int64 // ms since 1970
	Text                        string
	Priority                    int
	Metadata                    []byte
	Roleset, Creator            string
	RunAt                       *int64 // ms since 1970
	Delay                       *int   // ms
	Options                     string // JSON
}

var putSchedule = lua.Bind[putScheduleArgs]("put_schedule")

func (o Options) putMethod() (*command.Method, error) {
	return command.New[api.PutScheduleParams, api.PutScheduleResult](command.Spec{
		Name: "schedule.put",
		Description: "Make a schedule, or replace the one with this id. At each tick of the cron expression, one of the coordinators creates the task, exactly once. " +
			"A schedule that keeps its cron and timezone keeps its next tick. A fleet has at most 10,000 schedules, and a flush deletes them.",
		Limit:   300,
		Timeout: 5 * time.Second,
		Breaker: breaker.Setting{Failures: 5, Open: 30 * time.Second},
		// A schedule acts without its owner for ever, so agents may not make any; they create tasks.
		Roles:  command.Operators,
		Hidden: true,
		Effect: command.Sets,
		Refine: func(p map[string]*jsonschema.Schema) {
			p["cron"].MinLength, p["cron"].MaxLength = new(1), new(cron.MaxExpression)
			p["timezone"].MinLength, p["timezone"].MaxLength = new(1), new(maxTimezone)
			params.Enum(p["catchUp"], schedule.CatchUpNone, schedule.CatchUpOne, schedule.CatchUpAll)
			if o.Tasks.Schema != nil {
				p["task"] = scheduled(o.Tasks.Schema, p["task"].Description)
			}
		},
	}, o.put)
}

// scheduled returns the schema of task.create's params without the idempotency key, which a task
// that is created again and again cannot have.
func scheduled(params *jsonschema.Schema, description string) *jsonschema.Schema {
	s := *params
	s.Description = description
	s.Properties = maps.Clone(s.Properties)
	delete(s.Properties, "idempotencyKey")
	s.PropertyOrder = slices.DeleteFunc(slices.Clone(s.PropertyOrder), func(name string) bool { return name == "idempotencyKey" })
	return &s
}

func (o Options) put(ctx context.Context, c *command.Call, p *api.PutScheduleParams) (json.RawMessage, error) {
	if p.Timezone == "" {
		p.Timezone = defaultTimezone
	}
	if p.CatchUp == "" {
		p.CatchUp = schedule.CatchUpOne
	}
	if len(p.Task) > maxTask {
		return nil, api.InvalidParams(fmt.Sprintf("task parameter must be at most %d bytes long", maxTask))
	}
	ticks, err := cron.Parse(p.Cron, p.Timezone)
	if err != nil {
		return nil, api.InvalidParams("cron parameter: " + err.Error())
	}
	task, wrong, err := o.Tasks.Prepare(c, p.Task)
	if wrong != "" {
		return nil, api.InvalidParams("task parameter is not valid: " + wrong)
	}
	if err != nil {
		return nil, err
	}
	now, err := schedule.Clock(ctx, c.Scripts())
	if err != nil {
		return nil, err
	}
	return command.Decide(ctx, c, putSchedule, "", putScheduleArgs{
		ID: string(p.ID), Cron: p.Cron, Timezone: p.Timezone, CatchUp: p.CatchUp, Paused: p.Paused, Next: ticks.Next(now).UnixMilli(),
		Text: task.Text, Priority: task.Priority, Metadata: task.Metadata, Roleset: task.Roleset, Creator: task.Creator,
		RunAt: task.At, Delay: task.Delay, Options: task.Options,
	})
}
