package stream

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/claudebench/claudebench/events"
	"github.com/claudebench/claudebench/internal/logtest"
)

// Each way in which the log can lack events is told, to who follows it and to who comes later, and
// the stream goes on behind it. A subscriber that resumes at the gap's position does not get it
// again.
func TestGaps(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		harm func(*logtest.Log, []events.ID, *subscriber)
		// what a subscriber at event 10 gets that follows, one that comes later, and one at 0
		live, later, start []string
	}{
		"flushed": {
			func(l *logtest.Log, _ []events.ID, _ *subscriber) { l.Flush() },
			seqs(11, 11), seqs(11, 11),
			[]string{"flushed 1-10", "11"},
		},
		"flushed twice": {
			func(l *logtest.Log, _ []events.ID, live *subscriber) {
				l.Flush()
				l.Add(created, `{"id":"t"}`, 2)
				live.wants("11", "12", "13")
				l.Flush()
			},
			[]string{"14"},
			[]string{"flushed 11-13", "14"},
			[]string{"flushed 1-13", "14"},
		},
		"trimmed": {
			func(l *logtest.Log, ids []events.ID, _ *subscriber) { l.Add(created, `{"id":"t"}`, 1); l.Trim(ids[5]) },
			seqs(11, 11), seqs(11, 11), append([]string{"trimmed 1-5"}, seqs(6, 11)...),
		},
		"missing": {
			func(l *logtest.Log, _ []events.ID, _ *subscriber) { l.Skip(3); l.Add(created, `{"id":"t"}`, 2) },
			[]string{"missing 11-13", "14", "15"},
			[]string{"missing 11-13", "14", "15"},
			append(seqs(1, 10), "missing 11-13", "14", "15"),
		},
		"malformed": {
			func(l *logtest.Log, _ []events.ID, _ *subscriber) {
				l.Raw(func(events.ID) string { return `{"` })
				l.Add(created, `{"id":"t"}`, 1)
			},
			[]string{"malformed 11-11", "12"},
			[]string{"malformed 11-11", "12"},
			append(seqs(1, 10), "malformed 11-11", "12"),
		},
		"rolled back": {
			func(l *logtest.Log, ids []events.ID, _ *subscriber) {
				l.RollBack(ids[6])
				l.Add(created, `{"id":"t"}`, 5)
			},
			append([]string{"rolled_back 8-10"}, seqs(8, 12)...), append([]string{"rolled_back 8-10"}, seqs(8, 12)...), seqs(1, 12),
		},
		"rolled back, nothing since": {
			func(l *logtest.Log, ids []events.ID, _ *subscriber) { l.RollBack(ids[6]) },
			[]string{"rolled_back 8-10"},
			[]string{"rolled_back 8-10"},
			seqs(1, 7),
		},
		"another log": {
			func(l *logtest.Log, _ []events.ID, _ *subscriber) {
				l.RollBack(events.ID{})
				l.Add(created, `{"id":"t"}`, 2)
			},
			[]string{"rolled_back 1-10", "1", "2"},
			[]string{"rolled_back 1-10", "1", "2"},
			seqs(1, 2),
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			l := logtest.New(t)
			h := newHub(t, l, nil)
			live, filtered := subscribe(t, h, "*", nil), subscribe(t, h, "hook.*", nil)
			ids := l.Add(created, `{"id":"t"}`, 10)
			live.wants(seqs(1, 10)...)
			c.harm(l, ids, live)
			live.wants(c.live...)
			later := subscribe(t, newHub(t, l, nil), "*", &ids[9])
			later.wants(c.later...)
			subscribe(t, newHub(t, l, nil), "*", &events.ID{}).wants(c.start...)
			told := func(list []string) []string {
				return slices.DeleteFunc(slices.Clone(list), func(s string) bool { return !strings.Contains(s, " ") })
			}
			filtered.wants(told(c.live)...)

			// One event after the other, so that each position is seen.
			for at := ids[9]; ; {
				one := subscribe(t, newHub(t, l, func(o *Options) { o.maxEntries = 1 }), "*", &at)
				one.page = 1
				if len(one.first) > 0 {
					one.first = one.first[:1]
				}
				one.next()
				if !slices.Equal(one.got, c.later[:len(one.got)]) {
					t.Fatalf("resuming at %s gives %v, want %v", at, one.got, c.later)
				}
				if c.later = c.later[len(one.got):]; len(c.later) == 0 {
					break
				}
				at = one.Position()
			}
			if n := l.Add(created, `{"id":"t"}`, 1)[0].Seq; n > 0 {
				live.wants(fmt.Sprint(n))
				later.wants(fmt.Sprint(n))
			}
		})
	}
}

// While a flush has removed the log and not yet written its event, streams wait, old and new.
func TestDuringAFlush(t *testing.T) {
	t.Parallel()
	l := logtest.New(t)
	h := newHub(t, l, nil)
	ids := l.Add(created, `{"id":"t"}`, 10)
	live := subscribe(t, h, "*", nil)
	l.Clear()
	fresh, old := subscribe(t, h, "*", nil), subscribe(t, h, "*", &ids[3])
	l.Flush()
	live.wants("11")
	fresh.wants("11")
	old.wants("flushed 5-10", "11")
}
