package events

// BatchStarted is the payload of batch.started: an instance took the batch's lock. ItemsProcessed
// is where it continues, 0 the first time. The event is repeated when another instance takes over.
type BatchStarted struct {
	BatchID        string `json:"batchId"`
	ProcessorID    string `json:"processorId"` // the instance
	ItemsProcessed int64  `json:"itemsProcessed"`
	Total          int64  `json:"total"` // items
}

// BatchProgressed is the payload of batch.progressed: a chunk of items became tasks. Their
// task.created events come right before it.
type BatchProgressed struct {
	BatchID        string `json:"batchId"`
	ProcessorID    string `json:"processorId"`
	ItemsProcessed int64  `json:"itemsProcessed"` // since the start of the batch
	Total          int64  `json:"total"`
}

// BatchCompleted is the payload of batch.completed: all items are tasks.
type BatchCompleted struct {
	BatchID        string `json:"batchId"`
	ProcessorID    string `json:"processorId"` // the instance that processed the last chunk
	ItemsProcessed int64  `json:"itemsProcessed"`
	Total          int64  `json:"total"`
}
