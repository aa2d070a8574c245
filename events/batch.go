package events

// BatchStarted is the payload of batch.started: an instance took the batch's lock. ItemsProcessed
// is where it continues, 0 the first time. The event is repeated when another instance takes over.
type BatchStarted struct {
	BatchID        string `json:"batchId" jsonschema:"the batch"`
	ProcessorID    string `json:"processorId" jsonschema:"the instance that processes the batch"`
	ItemsProcessed int64  `json:"itemsProcessed" jsonschema:"where it continues; 0 the first time"`
	Total          int64  `json:"total" jsonschema:"all items of the batch"`
}

// BatchProgressed is the payload of batch.progressed: a chunk of items became tasks. Their
// task.created events come right before it.
type BatchProgressed struct {
	BatchID        string `json:"batchId" jsonschema:"the batch"`
	ProcessorID    string `json:"processorId" jsonschema:"the instance that processes the batch"`
	ItemsProcessed int64  `json:"itemsProcessed" jsonschema:"items that became tasks since the start of the batch"`
	Total          int64  `json:"total" jsonschema:"all items of the batch"`
}

// BatchCompleted is the payload of batch.completed: all items are tasks.
type BatchCompleted struct {
	BatchID        string `json:"batchId" jsonschema:"the batch"`
	ProcessorID    string `json:"processorId" jsonschema:"the instance that processed the last chunk"`
	ItemsProcessed int64  `json:"itemsProcessed" jsonschema:"items that became tasks since the start of the batch"`
	Total          int64  `json:"total" jsonschema:"all items of the batch"`
}
