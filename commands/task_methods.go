package commands

import "time"

// TaskOptions are what the tasks' methods work with.
type TaskOptions struct {
	// View is what task.list reads; nil without Postgres.
	View TaskView
	// Retention is how long a finished task stays in Redis.
	Retention time.Duration
}

// TaskMethods are the methods of the domain task, in the order in which they are documented.
func TaskMethods(o TaskOptions) ([]*Method, error) {
	return collect(
		taskCreate,
		o.taskUpdate,
		taskAssign,
		taskUnassign,
		taskClaim,
		o.taskComplete,
		o.taskList,
		taskGet,
		taskDelete,
	)
}
