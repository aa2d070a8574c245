package flush

// LeaseLost is leaseLost, for the tests outside of this package.
var LeaseLost = leaseLost

const (
	Draining = draining
	Fenced   = fenced
	Deleting = deleting
)
