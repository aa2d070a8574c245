package breaker

// Constants for the external tests of this package.
const (
	MaxUnreported = maxUnreported
	NoteKept      = noteKept
)
