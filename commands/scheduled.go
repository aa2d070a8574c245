package commands

import (
	"github.com/claudebench/claudebench/commands/schedule"
	"github.com/claudebench/claudebench/commands/task"
	"github.com/claudebench/claudebench/internal/command"
)

// scheduledTasks tells the domain schedule what the domain task knows about task.create.
func scheduledTasks() (schedule.Tasks, error) {
	schema, prepare, err := task.Scheduled()
	return schedule.Tasks{Schema: schema, Prepare: func(c *command.Call, params []byte) (schedule.Task, string, error) {
		t, wrong, err := prepare(c, params)
		a, x := t.Args, t.Extras
		return schedule.Task{
			Text: a.Text, Priority: a.Priority, Metadata: a.Metadata, Roleset: a.Roleset, Creator: a.Creator,
			At: x.Moment, Delay: x.Delay, Options: x.Options,
		}, wrong, err
	}}, err
}
