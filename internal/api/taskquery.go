package api

import "time"

// TaskStatuses holds every status that a task can have, in the order of its life.
var TaskStatuses = []string{"scheduled", "blocked", "pending", "in_progress", "completed", "failed", "cancelled"}

// TaskFilter selects tasks. A task matches if each member matches; zero values do not filter.
type TaskFilter struct {
	Statuses   []string // one of these
	AssignedTo string
	Priority   *int
	Role       string // one that the task requires
	Text       string // a part of its text, in any case; every character stands for itself
	Error      string // a part of its error, likewise; of an error that is not a string, of its JSON
	Metadata   Object // the task's metadata has each of these members, with an equal value
	// NotCalledOff leaves out tasks that were called off, whether or not they have ended. Cursors do not
	// depend on it, because no list has it.
	NotCalledOff bool `json:"-"`
	// The After times are inclusive, the Before times are not. All are whole milliseconds.
	CreatedAfter, CreatedBefore, UpdatedAfter, UpdatedBefore time.Time
}

// TaskQuery selects and orders the tasks of a list.
type TaskQuery struct {
	TaskFilter

	Limit  int // at least 1
	Offset int // from 0
	// Cursor is the number of a task: only tasks behind it in the order are listed, and they are not
	// counted. 0 is the start. It requires the order by createdAt, and no Offset.
	Cursor int64
	// OrderBy is one of TaskOrders; "" means createdAt. Ties are in order of creation.
	OrderBy    string
	Descending bool
}

// TaskOrders holds the fields that can order a list of tasks.
var TaskOrders = []string{"createdAt", "updatedAt", "completedAt", "priority", "status"}
