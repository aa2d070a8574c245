// Package schedule is the domain of schedules, which create tasks at the ticks of a cron expression.
// Each method schedule.* has one file, named after it, with the method's params, result, limits and
// script. Package commands lists its Methods. internal/schedule fires the ticks.
//
// The methods return the errors of their scripts. If Redis is unavailable, every method fails. None
// needs Postgres.
package schedule

import (
	"github.com/google/jsonschema-go/jsonschema"

	"github.com/claudebench/claudebench/internal/command"
)

// Options configure the methods.
type Options struct {
	// Tasks are the params of task.create.
	Tasks Tasks
}

// Tasks know the params of task.create, which belong to another domain.
type Tasks struct {
	// Schema is the schema of the params.
	Schema *jsonschema.Schema
	// Prepare decodes the params, which are compact JSON. wrong says what is wrong with them, as a
	// sentence, or is "".
	Prepare func(c *command.Call, params []byte) (task Task, wrong string, err error)
}

// Task is what the scripts need to create a task. It has all the arguments of create
// (lua/lib/create.lua) except those that are about the time of the call.
type Task struct {
	Text     string
	Priority int
	Metadata []byte // JSON
	Roleset  string
	Creator  string
	At       *int64 // ms since 1970
	Delay    *int   // ms
	Options  string // JSON
}

// Methods returns the methods of the domain schedule, in the order in which they are documented.
func Methods(o Options) ([]*command.Method, error) {
	return command.Collect(o.putMethod, getMethod, listMethod, deleteMethod)
}
