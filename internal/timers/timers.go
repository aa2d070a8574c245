// Package timers does what time alone brings about: scheduled tasks become due, claimed tasks run out
// of their time limit, cancelled ones out of their grace. Each coordinator runs it. They need no
// coordination, because each step is one atomic script that goes on where the last one stopped,
// whichever coordinator ran it. Only the clock of Redis decides what is due.
package timers

import (
	"context"
	"fmt"
	"log/slog"
	"time"

	"github.com/claudebench/claudebench/internal/monitor"
	"github.com/claudebench/claudebench/lua"
)

const (
	// longest is the longest pause between two steps. A coordinator wakes up earlier for what it has
	// scheduled itself; after a longer pause it sees what a coordinator that died has scheduled.
	longest = 250 * time.Millisecond
	// shortest is the shortest pause after a step that has done all that was due. It bounds the
	// number of steps if something becomes due in every millisecond.
	shortest = 10 * time.Millisecond
	// patience is how long a step may take.
	patience = 10 * time.Second
)

type fireTimersArgs struct {
	Context   string
	Retention int64 // ms
}

var fireTimers = lua.Bind[fireTimersArgs]("fire_timers")

// Timers runs the steps.
type Timers struct {
	Options
	look chan struct{}
}

// Options configure Timers.
type Options struct {
	Scripts   lua.Scripts
	Context   string        // of the events
	Retention time.Duration // of finished tasks
	Logger    *slog.Logger
	// UnderWay reports whether an error means that a flush is under way.
	UnderWay func(error) bool
}

// New returns Timers.
func New(o Options) *Timers { return &Timers{o, make(chan struct{}, 1)} }

// Look makes the next step come at once, because something was scheduled.
func (t *Timers) Look() {
	select {
	case t.look <- struct{}{}:
	default:
	}
}

// Step does a bounded part of what is due. It returns how many tasks it changed, and how long there
// is nothing to do.
func (t *Timers) Step(ctx context.Context) (changed int64, pause time.Duration, err error) {
	reply, err := fireTimers.Run(ctx, t.Scripts, fireTimersArgs{Context: t.Context, Retention: t.Retention.Milliseconds()})
	if t.UnderWay != nil && t.UnderWay(err) {
		return 0, longest, nil
	}
	if err != nil {
		return 0, longest, err
	}
	n, err := lua.Integers(reply, 2)
	if err != nil {
		return 0, longest, fmt.Errorf("fire_timers: %w", err)
	}
	if n[1] < 0 {
		return n[0], longest, nil
	}
	return n[0], min(time.Duration(n[1])*time.Millisecond, longest), nil
}

// Run runs steps until ctx ends. While Redis is unavailable, it logs that once and keeps trying.
func (t *Timers) Run(ctx context.Context) {
	monitor.Loop{
		Step: func(ctx context.Context) (time.Duration, error) {
			_, pause, err := t.Step(ctx)
			if pause > 0 {
				pause = max(pause, shortest)
			}
			return pause, err
		},
		Look:     t.look,
		Patience: patience,
		Fails:    "the coordinator cannot look for due tasks; retrying",
		Works:    "the coordinator looks for due tasks again",
		Logger:   t.Logger,
	}.Run(ctx)
}
