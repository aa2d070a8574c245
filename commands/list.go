package commands

import (
	"slices"

	"github.com/claudebench/claudebench/commands/audit"
	"github.com/claudebench/claudebench/commands/event"
	"github.com/claudebench/claudebench/commands/hook"
	"github.com/claudebench/claudebench/commands/session"
	"github.com/claudebench/claudebench/commands/system"
	"github.com/claudebench/claudebench/commands/task"
	"github.com/claudebench/claudebench/internal/command"
)

// methods lists the methods of all domains.
func methods(forSystem system.Options, forTask task.Options, forSession session.Options, forHook hook.Options, forAudit audit.Options) ([]*command.Method, error) {
	ofSystem, err := system.Methods(forSystem)
	if err != nil {
		return nil, err
	}
	ofTask, err := task.Methods(forTask)
	if err != nil {
		return nil, err
	}
	ofSession, err := session.Methods(forSession)
	if err != nil {
		return nil, err
	}
	ofEvent, err := event.Methods()
	if err != nil {
		return nil, err
	}
	ofHook, err := hook.Methods(forHook)
	if err != nil {
		return nil, err
	}
	ofAudit, err := audit.Methods(forAudit)
	return slices.Concat(ofSystem, ofTask, ofSession, ofEvent, ofHook, ofAudit), err
}

// Methods lists all methods with their documented limits, in the order in which they are
// documented. They describe the API and cannot be called. An error means that the lists themselves
// are faulty.
func Methods() ([]*command.Method, error) {
	return methods(system.Options{}, task.Options{}, session.Options{}, hook.Options{}, audit.Options{})
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
