package events

import "context"

// Archive has the beginning of a log, which Redis may no longer have. The package archive reads one
// from a folder. Its events are ordered by seq; some may be missing.
type Archive interface {
	// Identity returns the identity of the archived log.
	Identity(ctx context.Context) (string, error)
	// Bounds returns the first and the last event, zero if there is none.
	Bounds(ctx context.Context) (first, last ID, err error)
	// From returns consecutive entries, beginning with the first one whose seq is at least seq. It
	// returns at most limit, none with the seq before or a higher one, and at least one if there is
	// one.
	From(ctx context.Context, seq, before int64, limit int) ([]Entry, error)
	// Floor returns the ID of the last event at or before id, zero if there is none.
	Floor(ctx context.Context, id ID) (ID, error)
	// Flushed returns the seq of the last system.flushed that it knows, 0 if there is none. It may
	// not know the newest one while the log in Redis begins with it.
	Flushed(ctx context.Context) (int64, error)
}
