package events

// CircuitOpened is the payload of circuit.opened: a coordinator's circuit breaker for a method
// opened, or opened again because its trial call failed. The event is written when Redis accepts
// it, which may be long after Timestamp. If too many openings wait to be written, only the earliest
// ones and the last one are.
type CircuitOpened struct {
	Method      string `json:"method"`
	Failures    int64  `json:"failures"`    // consecutive infrastructure failures
	Until       int64  `json:"until"`       // when the trial call is allowed, ms
	Coordinator string `json:"coordinator"` // a new random name at each start
	Timestamp   int64  `json:"timestamp"`   // when it opened by the coordinator's clock, ms
}

// CircuitClosed is the payload of circuit.closed: the trial call succeeded.
type CircuitClosed struct {
	Method      string `json:"method"`
	Failures    int64  `json:"failures"`    // that had opened it
	Until       int64  `json:"until"`       // the end of its last open time, ms
	Coordinator string `json:"coordinator"` // a new random name at each start
	Timestamp   int64  `json:"timestamp"`   // when it closed by the coordinator's clock, ms
}
