package events

// CircuitOpened is the payload of circuit.opened: a coordinator's circuit breaker for a method
// opened, or opened again because its trial call failed. The event is written when Redis accepts
// it, which may be long after Timestamp. If too many openings wait to be written, only the earliest
// ones and the last one are.
type CircuitOpened struct {
	Method      string `json:"method" jsonschema:"the method of the circuit breaker"`
	Failures    int64  `json:"failures" jsonschema:"consecutive failures of Redis or Postgres"`
	Until       int64  `json:"until" jsonschema:"when the trial call is allowed, ms since 1970"`
	Coordinator string `json:"coordinator" jsonschema:"a new random name at each start"`
	Timestamp   int64  `json:"timestamp" jsonschema:"when it opened by the coordinator's clock, ms since 1970"`
}

// CircuitClosed is the payload of circuit.closed: the trial call succeeded.
type CircuitClosed struct {
	Method      string `json:"method" jsonschema:"the method of the circuit breaker"`
	Failures    int64  `json:"failures" jsonschema:"consecutive failures that had opened it"`
	Until       int64  `json:"until" jsonschema:"the end of its last open time, ms since 1970"`
	Coordinator string `json:"coordinator" jsonschema:"a new random name at each start"`
	Timestamp   int64  `json:"timestamp" jsonschema:"when it closed by the coordinator's clock, ms since 1970"`
}
