package breaker

// What the tests of this package look at from outside.
const (
	MaxUnreported = maxUnreported
	NoteKept      = noteKept
)
