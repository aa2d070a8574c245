package events

// CircuitOpened is the payload of circuit.opened: a coordinator's circuit breaker for a method
// opened, or opened again because the one call that it let through failed. The event comes when
// Redis can take it, which may be long after, each opening with its own time; of more than can
// wait, the first ones are told and the last.
type CircuitOpened struct {
	Method      string `json:"method"`
	Failures    int64  `json:"failures"`    // of infrastructure, in a row
	Until       int64  `json:"until"`       // when a call is let through again, ms
	Coordinator string `json:"coordinator"` // made up anew at each start
	Timestamp   int64  `json:"timestamp"`   // when it opened by the coordinator's clock, ms
}

// CircuitClosed is the payload of circuit.closed: the call that was let through succeeded.
type CircuitClosed struct {
	Method      string `json:"method"`
	Failures    int64  `json:"failures"`    // that had opened it
	Until       int64  `json:"until"`       // how long it had been opened for, ms
	Coordinator string `json:"coordinator"` // made up anew at each start
	Timestamp   int64  `json:"timestamp"`   // when it closed by the coordinator's clock, ms
}
