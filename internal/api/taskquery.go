package api

// TaskQuery says which tasks to list, and in what order. Zero values of Status, AssignedTo and
// Priority do not filter.
type TaskQuery struct {
	Status, AssignedTo string
	Priority           *int
	Limit              int // at least 1
	Offset             int // from 0
	// OrderBy is one of TaskOrders; "" is createdAt. Ties are in order of creation.
	OrderBy    string
	Descending bool
}

// TaskOrders are what tasks can be ordered by.
var TaskOrders = []string{"createdAt", "updatedAt", "completedAt", "priority", "status"}
