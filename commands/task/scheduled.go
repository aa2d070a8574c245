package task

import (
	"github.com/google/jsonschema-go/jsonschema"

	"github.com/claudebench/claudebench/internal/api"
	"github.com/claudebench/claudebench/internal/command"
	"github.com/claudebench/claudebench/internal/params"
)

// ScheduledTask is how task.create's script is told to create a task.
type ScheduledTask struct {
	Args   createTaskArgs
	Extras Extras
}

// Scheduled returns the schema of the params of task.create, and a function that decodes params for a
// schedule, which must be compact JSON. wrong says what is wrong with them, as a sentence, or is "".
func Scheduled() (schema *jsonschema.Schema, prepare func(c *command.Call, params []byte) (task ScheduledTask, wrong string, err error), err error) {
	decoder, err := params.New[api.CreateTaskParams](refineCreate)
	if err != nil {
		return nil, nil, err
	}
	decision := Options{}.createDecision()
	return decoder.Schema, func(c *command.Call, params []byte) (task ScheduledTask, wrong string, err error) {
		p, wrong := decoder.DecodeItem(params)
		switch {
		case wrong != "":
			return task, wrong, nil
		case p.IdempotencyKey != "":
			return task, "unknown parameter 'idempotencyKey'; each task of a schedule is created once", nil
		}
		if _, task.Args, err = decision.Prepare(c, &p); err != nil {
			return task, "", err
		}
		extras, err := extrasOf(&p)
		if extras != nil {
			task.Extras = *extras
		}
		return task, "", err
	}, nil
}
