package doctor

import (
	"context"
	"fmt"
	"time"
)

// Differences of clocks from which on a check warns and fails.
const (
	apart    = 2 * time.Second
	farApart = time.Minute
)

// checkClocks compares the clock of Redis, which decides everything, with the time of the last
// event, and with the other clocks.
func checkClocks(ctx context.Context, e *exam) (list []Finding) {
	l, err := e.log()
	if err != nil {
		return []Finding{e.unread("the clock of Redis", err)}
	}
	if ahead := time.Duration(l.Last.MS-l.Clock) * time.Millisecond; ahead > apart {
		f := Finding{
			Level: Warn, Text: fmt.Sprintf("the last event is %s ahead of the clock of Redis: that clock was set back", span(ahead)),
			Do: "let the machines of Redis keep their clocks by NTP, without steps; until the clock has caught up, all events have the time of the last one",
		}
		if ahead > farApart {
			f.Level = Fail
		}
		list = append(list, f)
	}
	list = append(list, judgeClock("Redis", l.now(), l.asked, l.answered)...)
	if e.Postgres != nil {
		asked := time.Now()
		at, err := e.Postgres.Clock(ctx)
		if err != nil {
			list = append(list, e.unread("the clock of Postgres", err))
		} else {
			list = append(list, judgeClock("Postgres", at, asked, time.Now())...)
		}
	}
	if len(list) == 0 {
		list = append(list, ok("the clocks agree to %s", span(apart)))
	}
	return list
}

// judgeClock compares the clock of a store with that of this machine, which read it between two
// times. It returns no finding if they agree.
func judgeClock(store string, at, asked, answered time.Time) []Finding {
	off := max(asked.Sub(at), at.Sub(answered))
	if off <= apart {
		return nil
	}
	return []Finding{{
		Level: Warn, Text: fmt.Sprintf("the clocks of %s and of this machine are %s apart", store, span(off)),
		Do: "correct the wrong one (NTP). Redis's clock decides about heartbeats, time limits and schedules",
	}}
}
