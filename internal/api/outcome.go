package api

// Outcome is how a call ended.
type Outcome int

// The outcomes of calls.
const (
	OutcomeOK           Outcome = iota
	OutcomeInvalid              // its params were refused
	OutcomeUnauthorized         // its token or role is missing
	OutcomeRefused              // the state was not such that it could be done
	OutcomeRateLimited          // it came too soon
	OutcomeCircuitOpen          // the circuit breaker let nothing through
	OutcomeUnavailable          // a store could not be reached
	OutcomeLost                 // the reply was lost: Outcome unknown
	OutcomeFault                // a fault of ours
	NumOutcomes
)

// outcomeNames are the names of outcomes in metrics.
var outcomeNames = [NumOutcomes]string{
	"ok", "invalid_params", "unauthorized", "refused", "rate_limited", "circuit_open", "unavailable", "outcome_unknown", "fault",
}

// String is the outcome's name in metrics.
func (o Outcome) String() string { return outcomeNames[o] }

// Outcomes lists all outcomes.
func Outcomes() []Outcome {
	list := make([]Outcome, NumOutcomes)
	for i := range list {
		list[i] = Outcome(i)
	}
	return list
}

// Outcome is how a call ended that returned this error; nil is OutcomeOK.
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
	case OutcomeUnknown:
		return OutcomeLost
	}
	return OutcomeFault
}
