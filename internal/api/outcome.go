package api

// Outcome is how a call ended.
type Outcome int

// The outcomes of calls.
const (
	OutcomeOK           Outcome = iota
	OutcomeInvalid              // its params were invalid
	OutcomeUnauthorized         // its token or role is missing
	OutcomeRefused              // the state did not permit it
	OutcomeRateLimited          // the rate limit rejected it
	OutcomeCircuitOpen          // an open circuit breaker rejected it
	OutcomeUnavailable          // a store could not be reached
	OutcomeLost                 // the reply was lost: outcome unknown
	OutcomeFault                // an internal fault
	NumOutcomes
)

// outcomeNames holds the names of the outcomes in metrics.
var outcomeNames = [NumOutcomes]string{
	"ok", "invalid_params", "unauthorized", "refused", "rate_limited", "circuit_open", "unavailable", "outcome_unknown", "fault",
}

// String returns the outcome's name in metrics.
func (o Outcome) String() string { return outcomeNames[o] }

// Outcomes returns all outcomes.
func Outcomes() []Outcome {
	list := make([]Outcome, NumOutcomes)
	for i := range list {
		list[i] = Outcome(i)
	}
	return list
}

// Outcome returns the outcome of a call that returned e. A nil error is OutcomeOK.
func (e *Error) Outcome() Outcome {
	if e == nil {
		return OutcomeOK
	}
	switch e.Code {
	case CodeInvalidParams:
		return OutcomeInvalid
	case CodeUnauthorized:
		return OutcomeUnauthorized
	case CodeNotRegistered, CodeNotFound, CodeConflict, CodeInvalidRequest:
		return OutcomeRefused
	case CodeRateLimited:
		return OutcomeRateLimited
	}
	switch e.Failure() {
	case CircuitBreakerOpen:
		return OutcomeCircuitOpen
	case RedisUnavailable, PostgresUnavailable:
		return OutcomeUnavailable
	case EventIndexOff:
		return OutcomeRefused
	case OutcomeUnknown:
		return OutcomeLost
	}
	return OutcomeFault
}
