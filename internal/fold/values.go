package fold

import (
	"fmt"
	"strconv"
	"time"

	"github.com/claudebench/claudebench/events"
)

// maxShown is how much of a value a violation shows, in bytes.
const maxShown = 80

// Shown returns a value as a violation shows it: quoted, and shortened if it is long.
func Shown(value string) string {
	switch {
	case value == "":
		return "not set"
	case len(value) > maxShown:
		return fmt.Sprintf("%.*q… (%d bytes)", maxShown, value, len(value))
	}
	return strconv.Quote(value)
}

// ISO returns a time in ms since 1970 as it is stored, "" for 0.
func ISO(ms int64) string {
	if ms == 0 {
		return ""
	}
	return time.UnixMilli(ms).UTC().Format(events.TimeLayout)
}

// Present says whether something is there.
func Present(there bool) string {
	if there {
		return "present"
	}
	return "not present"
}
