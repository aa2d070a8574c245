package api

// TaskQuery selects and orders the tasks of a list. The zero values of Status, AssignedTo,
// Priority, Role and Text do not filter.
type TaskQuery struct {
	Status, AssignedTo string
	Priority           *int
	Role               string // one that the task requires
	Text               string // a part of its text, in any case; every character stands for itself
	Limit              int    // at least 1
	Offset             int    // from 0
	// OrderBy is one of TaskOrders; "" means createdAt. Ties are in order of creation.
	OrderBy    string
	Descending bool
}

// TaskOrders holds the fields that can order a list of tasks.
var TaskOrders = []string{"createdAt", "updatedAt", "completedAt", "priority", "status"}
