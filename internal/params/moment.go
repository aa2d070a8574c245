package params

import (
	"time"

	"github.com/claudebench/claudebench/internal/api"
)

// MaxMoment is the maximum length of a time in characters. MomentFormat is its format in a schema.
const (
	MaxMoment    = 64
	MomentFormat = "date-time"
)

// Moment reads a time in ISO 8601 with a time zone and returns it in UTC, rounded up to a whole
// millisecond, which is the precision of events: "at or after it" and "before it" mean the same
// events as before. The error is an *api.Error that names the param.
func Moment(param, text string) (time.Time, error) {
	at, err := time.Parse(time.RFC3339, text)
	if err != nil || at.Year() < 1970 || at.Year() > 9999 {
		return time.Time{}, api.InvalidParams(param + " parameter: it is not a time in ISO 8601 with a time zone, such as 2026-01-02T03:04:05Z")
	}
	return time.UnixMilli(at.Add(time.Millisecond - 1).UnixMilli()).UTC(), nil
}
