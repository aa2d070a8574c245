package events

import (
	"errors"
	"fmt"
)

// ErrMalformed is wrapped by every [DecodeError].
var ErrMalformed = errors.New("malformed event")

// ErrUnknownType means that this build does not know the event's type and so cannot decode its
// payload. The envelope is readable: a service that does not need the type ignores the event.
var ErrUnknownType = errors.New("unknown event type")

// ErrUnknownVersion means that the payload's version is newer than this build knows, or is not a
// version at all. Upgrade the reader before it folds such events, because it cannot know what
// changed.
var ErrUnknownVersion = errors.New("unknown event version")

// ErrNoTopic means that the fleet's coordinators keep no topic of an event type (--topics). The
// events are in the log, which a [Subscriber] follows.
var ErrNoTopic = errors.New("the coordinators keep no topic for this event type (--topics)")

// DecodeError says why bytes are not an event. It wraps [ErrMalformed].
type DecodeError struct {
	Member string // the invalid member of the envelope; "" for the whole
	Reason string
}

func (e *DecodeError) Error() string {
	if e.Member == "" {
		return fmt.Sprintf("%v: %s", ErrMalformed, e.Reason)
	}
	return fmt.Sprintf("%v: member %q %s", ErrMalformed, e.Member, e.Reason)
}

func (e *DecodeError) Unwrap() error { return ErrMalformed }

// RolledBackError reports that the log no longer holds an event that was read from it, although no
// flush or trim removed it. Redis was started from an older file, or a failover lost the log's
// tail. Results derived from the lost events must be derived again.
type RolledBackError struct {
	Checkpoint ID // the last event that was read, which is gone
	LastInLog  ID // the log's last event now; zero if the log is empty
}

func (e *RolledBackError) Error() string {
	return fmt.Sprintf("the log was rolled back: event %s was read and is missing now; the log ends at %s",
		e.Checkpoint, e.LastInLog)
}

// GapError reports that events are missing from the log without a flush or trim that explains it.
// No reader skips a gap. Run `claudebench verify` for details.
type GapError struct {
	Expected int64 // the seq that must come next
	Got      int64 // the seq that came
	At       ID    // the entry that came
}

func (e *GapError) Error() string {
	return fmt.Sprintf("gap in the log at %s: expected seq %d, got %d", e.At, e.Expected, e.Got)
}
