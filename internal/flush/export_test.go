package flush

// What the tests of this package look at from outside.
var LeaseLost = leaseLost

const (
	Draining = draining
	Fenced   = fenced
	Deleting = deleting
)
