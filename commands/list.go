package commands

import (
	"slices"

	"github.com/claudebench/claudebench/commands/audit"
	"github.com/claudebench/claudebench/commands/event"
	"github.com/claudebench/claudebench/commands/hook"
	"github.com/claudebench/claudebench/commands/instance"
	"github.com/claudebench/claudebench/commands/limit"
	"github.com/claudebench/claudebench/commands/queue"
	"github.com/claudebench/claudebench/commands/schedule"
	"github.com/claudebench/claudebench/commands/session"
	"github.com/claudebench/claudebench/commands/system"
	"github.com/claudebench/claudebench/commands/task"
	"github.com/claudebench/claudebench/internal/command"
)

// options are those of all domains.
type options struct {
	system   system.Options
	task     task.Options
	limit    limit.Options
	session  session.Options
	instance instance.Options
	event    event.Options
	hook     hook.Options
	audit    audit.Options
}

// methods lists the methods of all domains.
func methods(o options) ([]*command.Method, error) {
	ofSystem, err := system.Methods(o.system)
	if err != nil {
		return nil, err
	}
	ofTask, err := task.Methods(o.task)
	if err != nil {
		return nil, err
	}
	ofQueue, err := queue.Methods()
	if err != nil {
		return nil, err
	}
	ofLimit, err := limit.Methods(o.limit)
	if err != nil {
		return nil, err
	}
	ofSession, err := session.Methods(o.session)
	if err != nil {
		return nil, err
	}
	ofInstance, err := instance.Methods(o.instance)
	if err != nil {
		return nil, err
	}
	ofEvent, err := event.Methods(o.event)
	if err != nil {
		return nil, err
	}
	ofHook, err := hook.Methods(o.hook)
	if err != nil {
		return nil, err
	}
	tasks, err := scheduledTasks()
	if err != nil {
		return nil, err
	}
	ofSchedule, err := schedule.Methods(schedule.Options{Tasks: tasks})
	if err != nil {
		return nil, err
	}
	ofAudit, err := audit.Methods(o.audit)
	return slices.Concat(ofSystem, ofTask, ofQueue, ofLimit, ofSchedule, ofSession, ofInstance, ofEvent, ofHook, ofAudit), err
}

// Methods lists all methods with their documented limits, in the order in which they are
// documented. They describe the API and cannot be called. An error means that the lists themselves
// are faulty.
func Methods() ([]*command.Method, error) {
	return methods(options{})
}

// MethodNames lists the names of all methods.
func MethodNames() ([]string, error) {
	list, err := Methods()
	if err != nil {
		return nil, err
	}
	names := make([]string, len(list))
	for i, m := range list {
		names[i] = m.Name
	}
	return names, nil
}
