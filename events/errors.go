package events

import (
	"errors"
	"fmt"
)

// ErrMalformed is wrapped by every [DecodeError].
var ErrMalformed = errors.New("malformed event")

// ErrUnknownType is wrapped when a payload's struct is asked for and this build knows no event of
// that type. The envelope itself is readable: a service that does not need the type passes it over.
var ErrUnknownType = errors.New("unknown event type")

// ErrUnknownVersion is wrapped when the payload's version is newer than this build knows (or is not
// a version at all). Upgrade the reader before it folds such events: what a newer version changed
// cannot be guessed.
var ErrUnknownVersion = errors.New("unknown event version")

// DecodeError says what makes bytes no event of ours. It wraps
// [ErrMalformed].
type DecodeError struct {
	Member string // the envelope's member at fault; "" for the whole
	Reason string
}

func (e *DecodeError) Error() string {
	if e.Member == "" {
		return fmt.Sprintf("%v: %s", ErrMalformed, e.Reason)
	}
	return fmt.Sprintf("%v: member %q %s", ErrMalformed, e.Member, e.Reason)
}

func (e *DecodeError) Unwrap() error { return ErrMalformed }

// RolledBackError reports that the log no longer holds an event that was read from it and was not
// removed by a flush or a trim: Redis was started from an older file, or a failover lost the log's
// tail. What was derived from the lost events must be derived anew.
type RolledBackError struct {
	Checkpoint ID // the event read last, which is gone
	LastInLog  ID // the log's last event now; zero if the log is empty
}

func (e *RolledBackError) Error() string {
	return fmt.Sprintf("the log was rolled back: event %s was read and is gone, the log now ends at %s",
		e.Checkpoint, e.LastInLog)
}

// GapError reports that events are missing from the log without a flush or a trim that explains it.
// It is never stepped over: `claudebench verify` tells more.
type GapError struct {
	Expected int64 // the seq that must come next
	Got      int64 // the seq that came
	At       ID    // the entry that came
}

func (e *GapError) Error() string {
	return fmt.Sprintf("gap in the log at %s: expected seq %d, got %d", e.At, e.Expected, e.Got)
}
