package events

import (
	"cmp"
	"errors"
	"fmt"
	"strconv"
	"strings"
)

// ID identifies an event and its place in the log: `<ms>-<seq>`, the ID of its entry in the Redis
// stream.
//
// MS is the time of the event by Redis's clock, in milliseconds. It never goes back. Seq counts
// events: it rises by exactly one with each event and never restarts. Seq alone orders the log, and
// a missing Seq proves that an event is missing. The zero ID is before every event.
type ID struct{ MS, Seq int64 }

// ErrInvalidID is wrapped by every error of [ParseID].
var ErrInvalidID = errors.New("not an event ID")

// ParseID parses `<ms>-<seq>`. Both are decimal, not negative and without leading zeros.
func ParseID(s string) (ID, error) {
	ms, seq, ok := strings.Cut(s, "-")
	if !ok {
		return ID{}, fmt.Errorf("%q: %w", s, ErrInvalidID)
	}
	id := ID{}
	if id.MS, ok = parseCount(ms); !ok {
		return ID{}, fmt.Errorf("%q: %w", s, ErrInvalidID)
	}
	if id.Seq, ok = parseCount(seq); !ok {
		return ID{}, fmt.Errorf("%q: %w", s, ErrInvalidID)
	}
	return id, nil
}

// String returns `<ms>-<seq>`. The zero ID is `0-0`.
func (id ID) String() string { return string(id.append(nil)) }

// IsZero reports whether id is the zero ID, which is before every event.
func (id ID) IsZero() bool { return id == ID{} }

// Compare orders IDs as Redis does: by MS, then by Seq. It returns -1, 0 or +1.
func (id ID) Compare(other ID) int {
	if c := cmp.Compare(id.MS, other.MS); c != 0 {
		return c
	}
	return cmp.Compare(id.Seq, other.Seq)
}

// Covers reports whether a reader at id has read other. In one log, an event with a higher Seq never
// has a lower MS. So a reader whose log was rolled back does not cover what was written since.
func (id ID) Covers(other ID) bool { return id.Seq >= other.Seq && id.MS >= other.MS }

// MarshalText returns the text of String.
func (id ID) MarshalText() ([]byte, error) { return id.append(nil), nil }

// UnmarshalText accepts what [ParseID] accepts.
func (id *ID) UnmarshalText(text []byte) error {
	parsed, err := ParseID(string(text))
	if err != nil {
		return err
	}
	*id = parsed
	return nil
}

func (id ID) append(dst []byte) []byte {
	dst = strconv.AppendInt(dst, id.MS, 10)
	dst = append(dst, '-')
	return strconv.AppendInt(dst, id.Seq, 10)
}

// parseCount parses a canonical decimal. strconv alone would accept +1 and 01, but an ID must have
// only one spelling.
func parseCount[S string | []byte](s S) (int64, bool) {
	if len(s) == 0 || len(s) > 19 || (s[0] == '0' && len(s) > 1) {
		return 0, false
	}
	var n int64
	for i := range len(s) {
		c := s[i]
		if c < '0' || c > '9' {
			return 0, false
		}
		n = n*10 + int64(c-'0')
	}
	// Nineteen digits overflow at most once, and then the number is negative.
	return n, n >= 0
}
