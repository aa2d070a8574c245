package commands

import (
	"slices"

	"github.com/claudebench/claudebench/commands/hook"
	"github.com/claudebench/claudebench/commands/system"
	"github.com/claudebench/claudebench/commands/task"
	"github.com/claudebench/claudebench/internal/command"
)

// methods lists the methods of all domains.
func methods(forSystem system.Options, forTask task.Options, forHook hook.Options) ([]*command.Method, error) {
	all, err := system.Methods(forSystem)
	if err != nil {
		return nil, err
	}
	tasks, err := task.Methods(forTask)
	if err != nil {
		return nil, err
	}
	hooks, err := hook.Methods(forHook)
	return slices.Concat(all, tasks, hooks), err
}

// Methods lists all methods with their documented limits, in the order in which they are
// documented. They describe the API and cannot be called. An error means that the lists themselves
// are faulty.
func Methods() ([]*command.Method, error) {
	return methods(system.Options{}, task.Options{}, hook.Options{})
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
