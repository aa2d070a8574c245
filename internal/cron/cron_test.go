package cron

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"
)

func mustParse(t testing.TB, expression, zone string) *Schedule {
	t.Helper()
	s, err := Parse(expression, zone)
	if err != nil {
		t.Fatalf("%s in %s: %v", expression, zone, err)
	}
	return s
}

func instant(t testing.TB, text string) time.Time {
	t.Helper()
	at, err := time.Parse(time.RFC3339, text)
	if err != nil {
		t.Fatal(err)
	}
	return at
}

// The clocks of Berlin go forward on 2026-03-29 at 2:00 (1:00 UTC) and back on 2026-10-25 at 3:00
// (1:00 UTC). Those of New York go forward on 2026-03-08 at 2:00 (7:00 UTC) and back on 2026-11-01 at
// 2:00 (6:00 UTC).
func TestDaylightSaving(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		expression, zone, after string
		ticks                   string // of the same zone, the offset last
	}{
		{"30 2 * * *", "Europe/Berlin", "2026-03-28T00:00:00Z", "28 02:30+01 29 03:00+02 30 02:30+02"},
		{"*/15 * * * *", "Europe/Berlin", "2026-03-29T00:40:00Z", "29 01:45+01 29 03:00+02 29 03:15+02"},
		{"*/15 2 * * *", "Europe/Berlin", "2026-03-28T01:40:00Z", "28 02:45+01 29 03:00+02 30 02:00+02 30 02:15+02"},
		{"0 3 * * *", "Europe/Berlin", "2026-03-28T12:00:00Z", "29 03:00+02 30 03:00+02"},
		{"30 2 29 3 *", "Europe/Berlin", "2026-03-28T12:00:00Z", "29 03:00+02 29 02:30+02"},
		{"30 2 * * *", "Europe/Berlin", "2026-10-24T12:00:00Z", "25 02:30+02 26 02:30+01"},
		{"*/15 * * * *", "Europe/Berlin", "2026-10-25T00:20:00Z", "25 02:30+02 25 02:45+02 25 03:00+01 25 03:15+01"},
		{"0 3 * * *", "Europe/Berlin", "2026-10-24T12:00:00Z", "25 03:00+01 26 03:00+01"},
		{"30 2 * * *", "America/New_York", "2026-03-07T12:00:00Z", "08 03:00-04 09 02:30-04"},
		{"*/15 * * * *", "America/New_York", "2026-03-08T06:40:00Z", "08 01:45-05 08 03:00-04 08 03:15-04"},
		{"30 1 * * *", "America/New_York", "2026-10-31T12:00:00Z", "01 01:30-04 02 01:30-05"},
		{"30 2 * * *", "America/New_York", "2026-10-31T12:00:00Z", "01 02:30-05 02 02:30-05"},
		{"*/15 * * * *", "America/New_York", "2026-11-01T05:20:00Z", "01 01:30-04 01 01:45-04 01 02:00-05 01 02:15-05"},
		{"*/30 * * * *", "UTC", "2026-10-25T00:20:00Z", "25 00:30+00 25 01:00+00 25 01:30+00"},
		// Between the two runs of the hour that is repeated, a schedule that is made then waits.
		{"30 2 * * *", "Europe/Berlin", "2026-10-25T01:10:00Z", "26 02:30+01"},
		// Half an hour, at midnight, and a whole day.
		{"15 2 * * *", "Australia/Lord_Howe", "2026-10-03T10:00:00Z", "04 02:30+11 05 02:15+11"},
		{"45 1 * * *", "Australia/Lord_Howe", "2026-04-04T10:00:00Z", "05 01:45+11 06 01:45+10"},
		{"0 0 * * *", "America/Sao_Paulo", "2018-11-03T12:00:00Z", "04 01:00-02 05 00:00-02"},
		{"0 12 * * *", "Pacific/Apia", "2011-12-29T23:00:00Z", "31 00:00+14 31 12:00+14"},
		// An interval does not look at the clock on the wall.
		{"@every 30m", "Europe/Berlin", "2026-10-25T00:00:00Z", "25 02:30+02 25 02:00+01 25 02:30+01"},
	} {
		s := mustParse(t, test.expression, test.zone)
		var got []string
		at := instant(t, test.after)
		for range len(strings.Fields(test.ticks)) / 2 {
			at = s.Next(at)
			got = append(got, at.In(s.zone).Format("02 15:04-07"))
		}
		if got := strings.Join(got, " "); got != test.ticks {
			t.Errorf("%s in %s after %s:\n got %s\nwant %s", test.expression, test.zone, test.after, got, test.ticks)
		}
	}
}

// Each local minute that an expression names runs exactly once, and ticks rise strictly. The
// comparison walks through time minute by minute and looks at the clock on the wall.
func TestEachLocalMinuteRunsOnce(t *testing.T) {
	t.Parallel()
	zones := []string{
		"Europe/Berlin", "America/New_York", "Australia/Lord_Howe", "America/Sao_Paulo", "Pacific/Apia", "Africa/Casablanca",
		"Asia/Kathmandu", "Antarctica/Troll", "UTC", "America/St_Johns",
	}
	random := rand.New(rand.NewPCG(1, 2))
	field := func(low, high int) string {
		switch random.IntN(4) {
		case 0:
			return "*"
		case 1:
			return fmt.Sprintf("*/%d", 1+random.IntN(high/2))
		case 2:
			return fmt.Sprintf("%d,%d", low+random.IntN(high-low+1), low+random.IntN(high-low+1))
		}
		return fmt.Sprint(low + random.IntN(high-low+1))
	}
	changes := []string{"2026-03-08T06:00:00Z", "2026-03-29T00:00:00Z", "2026-04-04T14:00:00Z", "2026-10-03T14:00:00Z", "2026-10-25T00:00:00Z", "2026-11-01T03:00:00Z", "2018-11-04T02:00:00Z", "2011-12-30T09:00:00Z", "2026-02-15T01:00:00Z"}
	for range 120 {
		zone := zones[random.IntN(len(zones))]
		hours := "*"
		if random.IntN(2) == 0 {
			hours = fmt.Sprint(random.IntN(5))
		}
		days, weekdays := "*", "*"
		if random.IntN(4) == 0 {
			days, weekdays = field(1, 31), field(0, 6)
		}
		expression := strings.Join([]string{field(0, 59), hours, days, "*", weekdays}, " ")
		s := mustParse(t, expression, zone)
		from := instant(t, changes[random.IntN(len(changes))]).Add(time.Duration(random.IntN(600)-300) * time.Minute)
		if err := compare(s, from, from.Add(36*time.Hour)); err != nil {
			t.Errorf("%s in %s from %s: %v", expression, zone, from, err)
		}
	}
}

// compare walks from an instant to another and compares the ticks with what the clock shows.
func compare(s *Schedule, from, to time.Time) error {
	wall := func(at time.Time) time.Time {
		_, offset := at.In(s.zone).Zone()
		return at.Add(time.Duration(offset) * time.Second).UTC()
	}
	latest := wall(from)
	for at := from.Add(-30 * time.Hour); at.Before(from); at = at.Add(time.Minute) {
		if w := wall(at); w.After(latest) {
			latest = w
		}
	}
	tick := s.Next(from)
	ran := map[time.Time]bool{}
	for at := from.Add(time.Minute); !at.After(to); at = at.Add(time.Minute) {
		due := false
		for latest.Before(wall(at)) { // each minute that the clock shows for the first time, or skips
			latest = latest.Add(time.Minute)
			if s.walls.Next(latest.Add(-time.Second)).Equal(latest) {
				if ran[latest] {
					return fmt.Errorf("%s runs twice", latest)
				}
				due, ran[latest] = true, true
			}
		}
		switch {
		case due && !tick.Equal(at):
			return fmt.Errorf("%s is due, but the next tick is %s", at, tick)
		case !due && !tick.After(at):
			return fmt.Errorf("%s is a tick, but nothing is due", tick)
		case due:
			next := s.Next(tick)
			if !next.After(tick) {
				return fmt.Errorf("%s follows %s", next, tick)
			}
			tick = next
		}
	}
	return nil
}

func TestLatest(t *testing.T) {
	t.Parallel()
	random := rand.New(rand.NewPCG(3, 4))
	for _, expression := range []string{"* * * * *", "*/15 * * * *", "30 2 * * *", "0 0 1 * *", "* 3 29 3 *", "@every 1s", "@every 7m", "@hourly"} {
		s := mustParse(t, expression, "Europe/Berlin")
		for range 20 {
			first := s.Next(instant(t, "2026-03-20T00:00:00Z").Add(time.Duration(random.IntN(1e6)) * time.Millisecond))
			now := first.Add(time.Duration(random.Int64N(int64(4 * time.Hour))))
			if random.IntN(2) == 0 && s.every != time.Second {
				now = first.Add(time.Duration(random.Int64N(int64(60 * 24 * time.Hour))))
			}
			var all []time.Time
			for tick := first; !tick.After(now); tick = s.Next(tick) {
				all = append(all, tick)
			}
			n := 1 + random.IntN(100)
			if got, want := s.Latest(n, first, now), all[max(len(all)-n, 0):]; !slices.EqualFunc(got, want, time.Time.Equal) {
				t.Errorf("%s: the last %d from %s to %s are %v, want %v", expression, n, first, now, got, want)
			}
		}
	}
}

// Years that nobody ran a coordinator in cost no more than a moment.
func TestLatestOfLongOutages(t *testing.T) {
	t.Parallel()
	first := instant(t, "2006-01-01T00:00:00Z")
	for _, expression := range []string{"* * * * *", "@every 1s", "0 0 29 2 *"} {
		s := mustParse(t, expression, "America/New_York")
		began := time.Now()
		ticks := s.Latest(100, s.Next(first), instant(t, "2026-01-01T00:00:00Z"))
		if took := time.Since(began); took > time.Second || len(ticks) == 0 {
			t.Errorf("%s: %d ticks in %s", expression, len(ticks), took)
		}
	}
}

func TestParse(t *testing.T) {
	t.Parallel()
	for _, valid := range []string{
		"* * * * *", "0 9-17 * * MON-FRI", "0 0 1,15 * *", "5 4 * * sun", "5 4 * * 7", "@hourly", "@daily", "@midnight", "@weekly", "@monthly", "@yearly",
		"@annually", "@every 1s", "@every 1h30m", "0 0 29 2 *", "0 22-2 * * *",
	} {
		if _, err := Parse(valid, "UTC"); err != nil {
			t.Errorf("%s: %v", valid, err)
		}
	}
	for _, invalid := range []string{
		"", " ", "* * * *", "* * * * * *", "60 * * * *", "* 24 * * *", "* * 0 * *", "* * 32 * *", "* * * 13 *", "* * * * 8", "*/0 * * * *", "@reboot", "@often",
		"@every", "@every ", "@every 500ms", "@every 0s", "@every -1m", "@every 1500ms", "@every 10000h", "0 0 30 2 *", "TZ=UTC * * * * *", "CRON_TZ=UTC * * * * *",
		"a b c d e", "1-2-3 * * * *", strings.Repeat("1,", 64) + "1 * * * *", "-1 * * * *", "1/ * * * *",
	} {
		if _, err := Parse(invalid, "UTC"); err == nil {
			t.Errorf("%q is accepted", invalid)
		}
	}
	for _, zone := range []string{"", "Local", "Mars/Olympus", "../../etc/passwd", "right/UTC", "posix/UTC", "Europe/Berlin\x00"} {
		if _, err := Parse("* * * * *", zone); err == nil {
			t.Errorf("zone %q is accepted", zone)
		}
	}
	// The day of the month or the day of the week, as in crontab(5).
	if got := mustParse(t, "0 0 13 * FRI", "UTC").Next(instant(t, "2026-11-07T00:00:00Z")); !got.Equal(instant(t, "2026-11-13T00:00:00Z")) {
		t.Errorf("0 0 13 * FRI: %s", got)
	}
	if got := mustParse(t, "0 0 12 * FRI", "UTC").Next(instant(t, "2026-11-07T00:00:00Z")); !got.Equal(instant(t, "2026-11-12T00:00:00Z")) {
		t.Errorf("0 0 12 * FRI: %s", got)
	}
}

func FuzzParse(f *testing.F) {
	for _, seed := range []string{"* * * * *", "*/15 2-4 1,15 JAN-MAR MON", "@every 1h", "@daily", "1-5/2 * ? * 0"} {
		f.Add(seed, "Europe/Berlin", int64(1790000000))
	}
	f.Fuzz(func(t *testing.T, expression, zone string, after int64) {
		s, err := Parse(expression, zone)
		if err != nil || after < 0 || after > 1<<33 {
			return
		}
		at := time.Unix(after, 0)
		for range 3 {
			next := s.Next(at)
			if !next.After(at) {
				t.Fatalf("%q in %q: %s follows %s", expression, zone, next, at)
			}
			at = next
		}
	})
}
