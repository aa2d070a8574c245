package projections

import (
	"bytes"
	"time"

	"github.com/claudebench/claudebench/events"
)

// listedExtras are the columns of a listed task's extras, in the order of listedRow.targets.
const listedExtras = `,
       p.run_at, p.failures, p.losses, array_to_string(p.errors, ','), p.options::text, p.timeout_at, p.progress::text, p.cancellation::text`

// listedRow has the extras of a row as List reads them. All may be null.
type listedRow struct {
	runAt, timeoutAt                        *time.Time
	failures, losses                        *int64
	errors, options, progress, cancellation *string
}

func (r *listedRow) targets() []any {
	return []any{&r.runAt, &r.failures, &r.losses, &r.errors, &r.options, &r.timeoutAt, &r.progress, &r.cancellation}
}

// write writes the extras as members of the task object, which begin with a comma. The object is that
// of lua/lib/extras.lua, byte for byte.
func (r *listedRow) write(b *bytes.Buffer, status string) {
	moment := func(name string, at *time.Time) {
		b.WriteString(name)
		b.WriteString(at.UTC().Format(`"` + events.TimeLayout + `"`))
	}
	text := func(name string, value *string) {
		if value != nil {
			b.WriteString(name)
			b.WriteString(*value)
		}
	}
	b.WriteString(`,"failures":` + number(*r.failures) + `,"losses":` + number(*r.losses))
	if r.runAt != nil {
		moment(`,"runAt":`, r.runAt)
	} else {
		b.WriteString(`,"runAt":null`)
	}
	b.WriteString(`,"errors":[` + orEmpty(r.errors) + `]`)
	if r.options != nil {
		options := *r.options
		b.WriteByte(',')
		b.WriteString(options[1 : len(options)-1])
	}
	if r.timeoutAt != nil {
		moment(`,"timeoutAt":`, r.timeoutAt)
	}
	text(`,"progress":`, r.progress)
	if r.cancellation != nil && status == events.StatusInProgress {
		b.WriteString(`,"cancelRequested":true`)
	}
	text(`,"cancellation":`, r.cancellation)
}
