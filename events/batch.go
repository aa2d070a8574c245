package events

// BatchStarted is the payload of batch.started: an instance took the batch's lock. ItemsProcessed
// is where it goes on from, 0 at the first time; another one follows when somebody takes over.
type BatchStarted struct {
	BatchID        string `json:"batchId"`
	ProcessorID    string `json:"processorId"` // the instance
	ItemsProcessed int64  `json:"itemsProcessed"`
	Total          int64  `json:"total"` // items
}

// BatchProgressed is the payload of batch.progressed: a chunk of items became tasks, whose
// task.created come right before.
type BatchProgressed struct {
	BatchID        string `json:"batchId"`
	ProcessorID    string `json:"processorId"`
	ItemsProcessed int64  `json:"itemsProcessed"` // since the batch was begun
	Total          int64  `json:"total"`
}

// BatchCompleted is the payload of batch.completed: all items are tasks.
type BatchCompleted struct {
	BatchID        string `json:"batchId"`
	ProcessorID    string `json:"processorId"` // who did the last of them
	ItemsProcessed int64  `json:"itemsProcessed"`
	Total          int64  `json:"total"`
}
