package position_test

import (
	"context"
	"errors"
	"math"
	"testing"

	"github.com/claudebench/claudebench/events"
	"github.com/claudebench/claudebench/internal/position"
)

// log has the events with the seqs 5 to 8 and 12, a second after each other.
type log struct{}

var all = []events.ID{{MS: 1_700_000_001_000, Seq: 5}, {MS: 1_700_000_002_000, Seq: 6}, {MS: 1_700_000_003_000, Seq: 7}, {MS: 1_700_000_003_000, Seq: 8}, {MS: 1_700_000_004_000, Seq: 12}}

func (log) Locate(_ context.Context, seq int64) (events.ID, error) {
	for _, id := range all {
		if id.Seq >= seq {
			return id, nil
		}
	}
	return events.ID{}, nil
}

// Each way to write a position includes the same events where a log is folded and where it is read.
func TestPositions(t *testing.T) {
	t.Parallel()
	const end = math.MaxInt64
	for text, c := range map[string]struct {
		first, last events.ID // the bounds of a span that begins or ends at it
		includes    int       // events of the log
	}{
		"":                            {events.ID{}, events.ID{}, 5},
		"0":                           {events.ID{}, events.ID{MS: 1}, 0},
		"0-0":                         {events.ID{}, events.ID{MS: 1}, 0},
		"1700000003000-7":             {all[2], all[2], 3},
		"7":                           {all[2], all[2], 3},
		"9":                           {all[4], events.ID{MS: all[4].MS, Seq: 9}, 4},
		"1":                           {all[0], events.ID{MS: all[0].MS, Seq: 1}, 0},
		"1700000003000":               {events.ID{MS: all[2].MS}, events.ID{MS: all[2].MS, Seq: end}, 4},
		"2023-11-14T22:13:23Z":        {events.ID{MS: all[2].MS}, events.ID{MS: all[2].MS, Seq: end}, 4},
		"2023-11-15T00:13:23.0+02:00": {events.ID{MS: all[2].MS}, events.ID{MS: all[2].MS, Seq: end}, 4},
		"1968-01-01T00:00:00Z":        {events.ID{MS: 100_000_000_000}, events.ID{MS: 100_000_000_000, Seq: end}, 0},
		"100000000000":                {events.ID{MS: 100_000_000_000}, events.ID{MS: 100_000_000_000, Seq: end}, 0},
	} {
		p, err := position.Parse(text)
		if err != nil {
			t.Errorf("%q: %v", text, err)
			continue
		}
		first, last, err := position.Span(t.Context(), log{}, p, p)
		if err != nil || first != c.first || last != c.last {
			t.Errorf("%q: from %s to %s, want %s and %s, %v", text, first, last, c.first, c.last, err)
		}
		n := 0
		for _, id := range all {
			if p.Includes(id) {
				n++
			}
		}
		if n != c.includes || p.IsOpen() != (text == "") {
			t.Errorf("%q includes %d events, want %d", text, n, c.includes)
		}
	}
	after, err := position.Parse("13")
	if err != nil {
		t.Fatal(err)
	}
	if _, _, err := position.Span(t.Context(), log{}, after, after); !errors.Is(err, position.ErrAfter) {
		t.Errorf("behind the end: %v", err)
	}
	for _, text := range []string{"yesterday", "-5", "1.5", "2026-01-02", "1700000003000-", "99999999999999999999"} {
		if p, err := position.Parse(text); !errors.Is(err, position.ErrInvalid) {
			t.Errorf("%q is %+v, %v", text, p, err)
		}
	}
}
