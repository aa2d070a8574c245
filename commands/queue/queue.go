// Package queue is the domain of the queues in which tasks wait. Each method queue.* has one file,
// named after it. Package commands lists its Methods.
//
// The methods return the errors of their scripts. If Redis is unavailable, every method fails.
package queue

import (
	"context"
	"slices"

	"github.com/google/jsonschema-go/jsonschema"

	"github.com/claudebench/claudebench/internal/api"
	"github.com/claudebench/claudebench/internal/command"
	"github.com/claudebench/claudebench/internal/jsontext"
	"github.com/claudebench/claudebench/internal/params"
	"github.com/claudebench/claudebench/lua"
)

// Methods returns the methods of the domain queue, in the order in which they are documented.
func Methods() ([]*command.Method, error) { return command.Collect(pauseMethod, resumeMethod) }

// everyQueue stands for all queues where a script takes a role set.
const everyQueue = "*"

// queueOf returns the queue of the tasks that require exactly these roles, as scripts take it. Nil
// means all queues.
func queueOf(roles []api.Role) string {
	switch {
	case roles == nil:
		return everyQueue
	case len(roles) == 0:
		return ""
	}
	slices.Sort(roles)
	return jsontext.Array(slices.Compact(roles))
}

func refineRoles(p map[string]*jsonschema.Schema) { p["roles"].MaxItems = new(params.MaxRoles) }

var readPauses = lua.Bind[lua.NoArgs]("read_pauses")

// Pauses returns the pauses of a namespace. It is not a command, so it is not counted.
func Pauses(ctx context.Context, scripts lua.Scripts) ([]api.Pause, error) {
	var list []api.Pause
	err := readPauses.Decode(ctx, scripts, lua.NoArgs{}, &list)
	return list, err
}
