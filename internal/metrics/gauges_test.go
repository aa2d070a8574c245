package metrics_test

import (
	"context"
	"errors"
	"fmt"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/claudebench/claudebench/commands"
	"github.com/claudebench/claudebench/events"
	"github.com/claudebench/claudebench/internal/devstack"
	"github.com/claudebench/claudebench/internal/fleettest"
	"github.com/claudebench/claudebench/internal/metrics"
	"github.com/claudebench/claudebench/internal/taskview"
	"github.com/claudebench/claudebench/internal/testenv"
	"github.com/claudebench/claudebench/lua"
)

func gaugesOf(f *fleettest.Fleet, view string) *metrics.Gauges {
	f.T.Helper()
	g, err := metrics.ReadGauges(context.Background(), f.Scripts, f.Options.InstanceTTL, taskview.Checkpoints{Tasks: view, Events: view})
	if err != nil {
		f.T.Fatalf("read the gauges: %v", err)
	}
	return g
}

// In an empty namespace all values are zero, and none is unknown.
func TestGaugesOfNothing(t *testing.T) {
	fleettest.Everywhere(t, commands.Options{}, func(t *testing.T, f *fleettest.Fleet) {
		none := map[events.Type]int64{}
		for _, typ := range events.Types() {
			none[typ] = 0
		}
		want := &metrics.Gauges{
			Tasks:    map[string]int64{"scheduled": 0, "blocked": 0, "pending": 0, "in_progress": 0, "completed": 0, "failed": 0, "cancelled": 0},
			Assigned: new(int64(0)), Events: none, Waits: &metrics.Total{}, Runs: &metrics.Total{}, Tries: &metrics.Tries{},
			Lags: map[string]metrics.Lag{"state": {}, "metrics": {}},
		}
		if diff := cmp.Diff(want, gaugesOf(f, "")); diff != "" {
			t.Errorf("-want +got\n%s", diff)
		}
	})
}

// Counts of projections that have not started are left out; the other values are current. A reading
// is not counted as a call.
func TestGaugesWithoutProjections(t *testing.T) {
	fleettest.Everywhere(t, commands.Options{RateLimits: map[string]int{"system.metrics": 1}}, func(t *testing.T, f *fleettest.Fleet) {
		f.Register("w", `["worker"]`, "")
		f.Register("v", `[]`, "")
		for range 3 {
			f.Create("x", "")
		}
		f.Create("x", `,"metadata":{"roles":["b","a"]}`)
		f.Create("x", `,"metadata":{"roles":["z"]}`)
		f.Claim("w")
		seq := f.Seq()
		middle := f.Client.XRange(t.Context(), f.Keys.Events(), "-", "+").Val()[seq-3].ID
		for range 3 {
			g := gaugesOf(f, middle)
			for name, lag := range g.Lags {
				if lag.Age < 0 || lag.Age > time.Minute {
					t.Errorf("%s is behind by %s", name, lag.Age)
				}
				g.Lags[name] = metrics.Lag{Events: lag.Events}
			}
			want := &metrics.Gauges{
				Seq: seq, Kept: seq, Instances: 2, Workers: 1, Open: 5, Pending: 2, Waiting: 2, RoleSets: 2,
				Lags: map[string]metrics.Lag{"state": {Events: seq}, "metrics": {Events: seq}, "tasks": {Events: 2}, "events": {Events: 2}},
			}
			if diff := cmp.Diff(want, g); diff != "" {
				t.Errorf("-want +got\n%s", diff)
			}
		}
		if lag := gaugesOf(f, f.Client.XRevRangeN(t.Context(), f.Keys.Events(), "+", "-", 1).Val()[0].ID).Lags["tasks"]; lag != (metrics.Lag{}) {
			t.Errorf("a view that has all is behind by %+v", lag)
		}
		for _, s := range f.Stats() {
			if s.Method == "system.metrics" && s.Calls > 0 {
				t.Errorf("%d calls of system.metrics are counted", s.Calls)
			}
		}
		f.OK("system.metrics", `{}`) // no reading has used up its rate limit
		if n := f.Client.Exists(t.Context(), f.Keys.Prefix()+"service:checkpoint:tasks").Val(); n != 0 || f.Seq() != seq {
			t.Error("reading has written")
		}
	})
}

// Tasks that are not pending yet count by what they wait for. A scheduled task that is due, and that no
// coordinator has moved, makes the lag.
func TestGaugesOfTheWaiting(t *testing.T) {
	fleettest.Everywhere(t, commands.Options{}, func(t *testing.T, f *fleettest.Fleet) {
		f.Create("later", `,"delayMs":3600000`)
		if g := gaugesOf(f, ""); g.Scheduled != 1 || g.Blocked != 0 || g.Open != 1 || g.Pending != 0 || g.Late != 0 {
			t.Errorf("%+v", g)
		}
		f.OK("limit.set", `{"key":"none","concurrent":0}`)
		f.Create("in turn", `,"limitKey":"none"`)
		f.Create("in turn", `,"limitKey":"none"`)
		f.Client.HSet(t.Context(), f.Keys.Log(), "due", time.Now().Add(-time.Minute).UnixMilli())
		if g := gaugesOf(f, ""); g.Blocked != 2 || g.Late < 30*time.Second || g.Late > 2*time.Minute {
			t.Errorf("%+v", g)
		}
	})
}

// Tasks that a gone instance left count as orphaned until they are returned.
func TestGaugesOfTheGone(t *testing.T) {
	fleettest.Everywhere(t, commands.Options{}, func(t *testing.T, f *fleettest.Fleet) {
		f.Register("w", `["worker"]`, "")
		f.Create("x", "")
		f.Create("y", "")
		f.Claim("w")
		for f.Client.ZCard(t.Context(), f.Keys.Alive()).Val() > 0 {
			if _, err := f.Scripts.Run(t.Context(), lua.Named("reassign_failed_tasks"), lua.EventContext("x", "", ""), "", 0, 0, 0, 0, 0, 0); err != nil {
				t.Fatal(err)
			}
		}
		if g := gaugesOf(f, ""); g.Orphaned != 1 || g.OrphanQueues != 1 || g.Failed != 1 || g.Instances != 0 || g.Workers != 0 || g.Pending != 1 {
			t.Errorf("%+v", g)
		}
	})
}

// A flush removes the events before it, so a projection's lag never exceeds the events in the log.
func TestGaugesOfALogThatWasCut(t *testing.T) {
	t.Parallel()
	f := fleettest.New(t, fleettest.RealRedis(t), commands.Options{})
	for range 5 {
		f.Create("x", "")
	}
	for kept := int64(2); kept >= 0; kept -= 2 {
		if err := f.Client.XTrimMaxLen(t.Context(), f.Keys.Events(), kept).Err(); err != nil {
			t.Fatal(err)
		}
		g := gaugesOf(f, "1-1")
		if g.Seq != 5 || g.Kept != kept || len(g.Lags) != 4 {
			t.Errorf("%+v", g)
		}
		for name, lag := range g.Lags {
			if lag.Events != kept {
				t.Errorf("%s is behind by %d of the %d there are", name, lag.Events, kept)
			}
		}
	}
}

// An instance that was silent for the TTL is not live, even if no sweep has noticed yet.
func TestGaugesOfTheSilent(t *testing.T) {
	t.Parallel()
	f := fleettest.New(t, fleettest.RealRedis(t), commands.Options{InstanceTTL: time.Millisecond})
	f.Register("w", `["worker"]`, "")
	testenv.Eventually(t, fleettest.Patience, func() (bool, string) {
		g := gaugesOf(f, "")
		return g.Instances == 0 && g.Workers == 0, fmt.Sprintf("%+v", g)
	})
	if n := f.Client.ZCard(t.Context(), f.Keys.Alive()).Val(); n != 1 {
		t.Errorf("%d are in the index", n)
	}
}

// Reading a Redis that hangs stops at the timeout.
func TestGaugesOfARedisThatHangs(t *testing.T) {
	t.Parallel()
	server := testenv.OwnRedis(t, devstack.RedisOptions{})
	f := fleettest.New(t, testenv.ClientOf(t, server), commands.Options{})
	gaugesOf(f, "")
	if err := server.Pause(); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 200*time.Millisecond)
	defer cancel()
	if g, err := metrics.ReadGauges(ctx, f.Scripts, f.Options.InstanceTTL, taskview.Checkpoints{}); !errors.Is(err, lua.ErrUnavailable) {
		t.Errorf("%+v, %v", g, err)
	}
	if err := server.Resume(); err != nil {
		t.Fatal(err)
	}
	gaugesOf(f, "")
}

// The lag of schedules is that of the tick that waits, or else that of the last one.
func TestGaugesOfSchedules(t *testing.T) {
	fleettest.Everywhere(t, commands.Options{}, func(t *testing.T, f *fleettest.Fleet) {
		if g := gaugesOf(f, ""); g.Schedules != 0 || g.Lateness != nil {
			t.Errorf("read %+v", g)
		}
		f.OK("schedule.put", `{"id":"s","cron":"@every 1h","task":{"text":"x"}}`)
		f.OK("schedule.put", `{"id":"paused","cron":"@every 1h","task":{"text":"x"},"paused":true}`)
		now, err := f.Client.Time(t.Context()).Result()
		if err != nil {
			t.Fatal(err)
		}
		tick := now.Add(-7 * time.Second).UnixMilli()
		f.MoveTick("s", tick)
		late := func(what string) {
			t.Helper()
			g := gaugesOf(f, "")
			if g.Schedules != 2 || g.Ticks != 1 || g.Lateness == nil || *g.Lateness < 7*time.Second || *g.Lateness > 30*time.Second {
				t.Errorf("%s: read %+v, late by %v", what, g, g.Lateness)
			}
		}
		late("a tick waits")
		if fired, err := f.FireSchedules(t.Context()); err != nil || fired != 1 {
			t.Fatalf("fired %d, %v", fired, err)
		}
		late("it was fired")
	})
}
