// Package schedule fires the ticks of schedules: it creates their tasks when the time has come. Each
// coordinator runs it, and schedule.put asks it for the time.
//
// The coordinators need no coordination. Each reads the due schedules, computes the tick that ends
// and the one after it, and calls a script that does nothing unless the schedule still waits for
// the tick that was read. So a tick ends exactly once, also if a coordinator dies between the two.
// Only the clock of Redis decides what is due. Ticks follow from the expression and the tick before,
// so coordinators agree on them.
//
// While Redis is unavailable, no tick ends. What becomes of the missed ones is the schedule's
// catchUp.
package schedule

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"time"

	"github.com/claudebench/claudebench/events"
	"github.com/claudebench/claudebench/internal/cron"
	"github.com/claudebench/claudebench/internal/monitor"
	"github.com/claudebench/claudebench/lua"
)

// The values of catchUp: what becomes of missed ticks.
const (
	CatchUpNone = "none" // they are skipped
	CatchUpOne  = "one"  // one task for all of them
	CatchUpAll  = "all"  // one task for each of the last maxCaughtUp
)

const (
	// late is from when on a tick is missed for a schedule that does not catch up.
	late = time.Minute
	// maxCaughtUp is the maximum number of missed ticks that a schedule makes up for.
	maxCaughtUp = 100
	// page is how many due schedules are read at once.
	page = 100
	// longest is the longest pause between two passes. After it, a coordinator sees what another one
	// has put.
	longest = time.Second
	// shortest is the shortest pause after a pass.
	shortest = 5 * time.Millisecond
	// patience is how long a pass may take.
	patience = 30 * time.Second
	// maxParsed is how many parsed expressions are kept.
	maxParsed = 10_000
)

type readDueSchedulesArgs struct{ Skip, Most int }

type fireScheduleArgs struct {
	Context, ID, Version string
	Due, Tick, Next      int64 // ms since 1970
	Missed               string
	Retention            int64 // ms
}

var (
	readDueSchedules = lua.Bind[readDueSchedulesArgs]("read_due_schedules")
	fireSchedule     = lua.Bind[fireScheduleArgs]("fire_schedule")
)

// missed is the error of a tick that was skipped, as JSON text.
const missed = `{"reason":"` + events.ReasonMissed + `"}`

// Options configure a Scheduler.
type Options struct {
	Scripts lua.Scripts
	Context string // of the events
	// Retention is how long finished tasks are kept.
	Retention time.Duration
	Logger    *slog.Logger
	// UnderWay reports whether an error means that a flush is under way.
	UnderWay func(error) bool
	// Fired is called after a pass that created tasks. Nil does nothing.
	Fired func()
	// Dies reports whether a pass ends after it has read the due schedules, as if the coordinator had
	// died. It is for tests.
	Dies func() bool
}

// Scheduler fires the ticks of schedules.
type Scheduler struct {
	Options
	parsed map[expression]*cron.Schedule // used by one pass at a time
}

type expression struct{ cron, zone string }

// New returns a Scheduler.
func New(o Options) *Scheduler { return &Scheduler{o, map[expression]*cron.Schedule{}} }

// Clock returns the time of Redis, from which a new schedule counts.
func Clock(ctx context.Context, scripts lua.Scripts) (time.Time, error) {
	found, err := read(ctx, scripts, readDueSchedulesArgs{})
	return found.clock, err
}

// found is a reply of read_due_schedules.
type found struct {
	clock time.Time
	next  time.Time // tick after the due ones, zero for none
	due   []due
}

// due is a schedule whose next tick has come.
type due struct {
	id, cron, zone, catchUp, version string
	next                             time.Time
}

func read(ctx context.Context, scripts lua.Scripts, args readDueSchedulesArgs) (f found, err error) {
	reply, err := readDueSchedules.Run(ctx, scripts, args)
	if err != nil {
		return f, err
	}
	values, ok := reply.([]any)
	if !ok || len(values) < 3 {
		return f, fmt.Errorf("read_due_schedules returned %v", reply)
	}
	f.clock = time.UnixMilli(lua.Integer(values[0])).UTC()
	if values[1] != nil {
		f.next = time.UnixMilli(lua.Integer(values[1])).UTC()
	}
	list, _ := values[2].([]any)
	for _, row := range list {
		fields, _ := row.([]any)
		texts := make([]string, 6)
		for i := range min(len(fields), len(texts)) {
			texts[i], _ = fields[i].(string) // "" for a field that is missing
		}
		f.due = append(f.due, due{
			id: texts[0], cron: texts[1], zone: texts[2], catchUp: texts[3], version: texts[5], next: time.UnixMilli(lua.Integer(texts[4])).UTC(),
		})
	}
	return f, nil
}

// Pass ends all ticks that have come. It returns how many it has ended, and how long there is nothing
// to do. Several coordinators may call it at once. One coordinator must not.
func (s *Scheduler) Pass(ctx context.Context) (fired int, pause time.Duration, err error) {
	for skip := 0; ; {
		f, err := read(ctx, s.Scripts, readDueSchedulesArgs{Skip: skip, Most: page})
		if err != nil || s.Dies != nil && s.Dies() {
			return fired, longest, err
		}
		n, left, err := s.fire(ctx, f)
		fired += n
		if err != nil {
			return fired, longest, err
		}
		if skip += left; len(f.due) < page {
			pause = longest
			if !f.next.IsZero() {
				pause = min(pause, f.next.Sub(f.clock))
			}
			return fired, pause, nil
		}
	}
}

// fire ends the ticks of due schedules. It returns how many it has ended, and how many of the
// schedules are still due, because this coordinator does not understand them.
func (s *Scheduler) fire(ctx context.Context, f found) (fired, left int, err error) {
	var calls [][]any
	for _, d := range f.due {
		ticks, err := s.ticks(d)
		if err != nil {
			s.Logger.ErrorContext(ctx, "a schedule cannot be fired; put it again, or delete it", "schedule", d.id, "error", err)
			left++
			continue
		}
		for _, args := range plan(ticks, d, f.clock) {
			args.Context, args.Retention = s.Context, s.Retention.Milliseconds()
			calls = append(calls, fireSchedule.Args(args))
		}
	}
	for _, reply := range s.Scripts.RunMany(ctx, fireSchedule.Script, calls) {
		switch {
		case reply.Err != nil:
			err = errors.Join(err, reply.Err)
		case reply.Value == int64(1):
			fired++
		}
	}
	if len(calls) > 0 && s.Fired != nil {
		s.Fired()
	}
	return fired, left, err
}

// ticks returns the parsed expression of a schedule.
func (s *Scheduler) ticks(d due) (*cron.Schedule, error) {
	key := expression{d.cron, d.zone}
	if ticks := s.parsed[key]; ticks != nil {
		return ticks, nil
	}
	ticks, err := cron.Parse(d.cron, d.zone)
	if err != nil {
		return nil, err
	}
	if len(s.parsed) >= maxParsed {
		clear(s.parsed)
	}
	s.parsed[key] = ticks
	return ticks, nil
}

// plan returns the calls of fire_schedule that end the ticks of a schedule until now.
func plan(ticks *cron.Schedule, d due, now time.Time) []fireScheduleArgs {
	most := 1
	if d.catchUp == CatchUpAll {
		most = maxCaughtUp
	}
	ended := ticks.Latest(most, d.next, now)
	calls := make([]fireScheduleArgs, len(ended))
	from := d.next
	for i, tick := range ended {
		next := ticks.Next(tick)
		calls[i] = fireScheduleArgs{
			ID: d.id, Version: d.version, Due: from.UnixMilli(), Tick: tick.UnixMilli(), Next: next.UnixMilli(),
		}
		if d.catchUp == CatchUpNone && now.Sub(tick) > late {
			calls[i].Missed = missed
		}
		from = next
	}
	return calls
}

// Run makes passes until ctx ends. While Redis is unavailable, it logs that once and keeps trying.
func (s *Scheduler) Run(ctx context.Context) {
	monitor.Loop{
		Step: func(ctx context.Context) (time.Duration, error) {
			_, pause, err := s.Pass(ctx)
			if s.UnderWay != nil && s.UnderWay(err) {
				err = nil
			}
			return max(pause, shortest), err
		},
		Patience: patience,
		Fails:    "the coordinator cannot fire schedules; retrying",
		Works:    "the coordinator fires schedules again",
		Logger:   s.Logger,
	}.Run(ctx)
}
