// Package cron computes the ticks of a schedule: the instants that a cron expression names in a time
// zone, or that follow each other at an interval. schedule.put checks expressions with it, and
// internal/schedule asks it which tick comes next.
//
// A tick is a function of the expression, the zone and the tick before. It does not depend on a
// clock, so that all coordinators agree on it. The zones are those of the system, or the program's
// own copy if the system has none.
//
// The library go-cron parses the expressions and finds the wall-clock times that they name. It runs
// in UTC here, because at a change of daylight saving time it skips some times and repeats others.
// This package converts a wall-clock time to an instant itself: to the first instant at which the
// clock on the wall shows that time or a later one. So a time that does not exist runs at the next
// instant that does, and a time that exists twice runs the first time only. Several times that a
// change skips, and the time that follows them, are one tick.
package cron

import (
	"errors"
	"fmt"
	"strings"
	"time"
	_ "time/tzdata" // for systems without a database of zones

	"github.com/netresearch/go-cron"
)

// MaxExpression is the maximum length of an expression in bytes.
const MaxExpression = 128

// searchYears is how far ahead a tick is looked for. The longest pause of an expression is that
// between two leap days around a century without one.
const searchYears = 10

const (
	everyWord = "@every"
	minEvery  = time.Second
	maxEvery  = 366 * 24 * time.Hour
)

// parser accepts five fields, and the words that stand for some of them. If both the day of the
// month and the day of the week are restricted, a day matches that is either, as in crontab(5).
var parser = cron.MustNewParser(cron.Minute | cron.Hour | cron.Dom | cron.Month | cron.Dow | cron.Descriptor | cron.DowOrDom).
	WithMaxSearchYears(searchYears)

// Schedule is a sequence of ticks. It is safe for concurrent use.
type Schedule struct {
	every time.Duration // 0 for an expression with fields
	walls cron.Schedule // wall-clock times, written as times in UTC
	zone  *time.Location
}

// Parse returns the schedule of an expression in a time zone, which is a name of the IANA database.
// The error says what is wrong, for the caller who wrote them.
func Parse(expression, zone string) (*Schedule, error) {
	location, err := loadZone(zone)
	if err != nil {
		return nil, err
	}
	switch {
	case len(expression) > MaxExpression:
		return nil, fmt.Errorf("the expression must be at most %d bytes long", MaxExpression)
	case strings.Contains(expression, "TZ="):
		return nil, errors.New("the expression must not contain a time zone; use the parameter timezone")
	}
	if interval, ok := strings.CutPrefix(expression, everyWord+" "); ok {
		every, err := time.ParseDuration(strings.TrimSpace(interval))
		if err != nil || every < minEvery || every > maxEvery || every%time.Second != 0 {
			return nil, fmt.Errorf("%s needs an interval in whole seconds from 1s to %dh, such as 15m", everyWord, maxEvery/time.Hour)
		}
		return &Schedule{every: every, zone: location}, nil
	}
	walls, err := parser.Parse(expression)
	if err != nil {
		return nil, fmt.Errorf("it is neither five fields (minute, hour, day of month, month, day of week) nor a word such as @daily or '@every 15m': %w", err)
	}
	if spec, ok := walls.(*cron.SpecSchedule); ok {
		spec.Location = time.UTC
	}
	s := &Schedule{walls: walls, zone: location}
	if s.Next(time.Unix(0, 0)).IsZero() {
		return nil, errors.New("no day matches the expression")
	}
	return s, nil
}

// loadZone returns a time zone of the IANA database. It rejects the names that mean something else
// on each machine.
func loadZone(name string) (*time.Location, error) {
	if name == "" || name == "Local" || strings.HasPrefix(name, "posix/") || strings.HasPrefix(name, "right/") {
		return nil, fmt.Errorf("%q is not the name of a time zone, such as Europe/Berlin or UTC", name)
	}
	location, err := time.LoadLocation(name)
	if err != nil {
		return nil, fmt.Errorf("%q is not the name of a time zone, such as Europe/Berlin or UTC", name)
	}
	return location, nil
}

// Next returns the first tick after a tick, or after the time at which the schedule was made. It is
// the zero time if there is none, which Parse excludes.
func (s *Schedule) Next(after time.Time) time.Time {
	if s.every > 0 {
		return after.Add(s.every).Truncate(time.Second)
	}
	wall := s.walls.Next(s.reached(after))
	if wall.IsZero() {
		return wall
	}
	return s.instant(wall)
}

// Latest returns the last n ticks of those from first to now, in order. first is a tick, and is not
// after now. The cost does not depend on how many ticks there are, if they are evenly distributed.
func (s *Schedule) Latest(n int, first, now time.Time) []time.Time {
	if s.every > 0 {
		// Ticks are in whole seconds, except that the first one may have been moved by hand.
		if k := int64(now.Sub(first)/s.every) - int64(n) + 1; k > 0 {
			first = first.Add(time.Duration(k) * s.every).Truncate(time.Second)
		}
		return s.collect(n, first, now)
	}
	for window := 4 * time.Minute; ; window *= 4 {
		from := now.Add(-window)
		if !from.After(first) {
			return s.collect(n, first, now)
		}
		if ticks := s.collect(n, s.Next(from), now); len(ticks) == n {
			return ticks
		}
	}
}

// collect returns the last n ticks from tick to now.
func (s *Schedule) collect(n int, tick, now time.Time) []time.Time {
	var ticks []time.Time
	for ; !tick.IsZero() && !tick.After(now); tick = s.Next(tick) {
		if len(ticks) == n {
			ticks = append(ticks[:0], ticks[1:]...)
		}
		ticks = append(ticks, tick)
	}
	return ticks
}

// longestShift is longer than any offset from UTC, and than any change of one.
const longestShift = 30 * time.Hour

// wallAt returns what the clock on the wall shows in a zone with an offset, written as a time in UTC.
func wallAt(at time.Time, offset int) time.Time {
	return at.UTC().Add(time.Duration(offset) * time.Second)
}

// instant returns the first instant at which the clock on the wall shows a time or a later one.
func (s *Schedule) instant(wall time.Time) time.Time {
	at := wall.Add(-longestShift).In(s.zone)
	for {
		_, offset := at.Zone()
		candidate := wall.Add(-time.Duration(offset) * time.Second)
		if candidate.Before(at) {
			candidate = at // the change to this offset has skipped the time
		}
		_, end := at.ZoneBounds()
		if end.IsZero() || candidate.Before(end) {
			return candidate.UTC()
		}
		at = end
	}
}

// reached returns the latest time that the clock on the wall has shown until now, written as a time
// in UTC. It is later than what the clock shows while the clock repeats an hour.
func (s *Schedule) reached(now time.Time) time.Time {
	at := now.In(s.zone)
	_, offset := at.Zone()
	latest := wallAt(at, offset)
	for start, _ := at.ZoneBounds(); !start.IsZero() && now.Sub(start) < longestShift; start, _ = at.ZoneBounds() {
		at = start.Add(-1)
		_, offset = at.Zone()
		if wall := wallAt(at, offset); wall.After(latest) {
			latest = wall
		}
	}
	return latest
}
