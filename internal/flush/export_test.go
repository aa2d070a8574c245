package flush

// What the tests of this package look at from outside.
var Lost = lost

const (
	Draining = draining
	Fenced   = fenced
	Deleting = deleting
)
