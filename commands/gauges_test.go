package commands

import (
	"context"
	"errors"
	"fmt"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/claudebench/claudebench/events"
	"github.com/claudebench/claudebench/internal/devstack"
	"github.com/claudebench/claudebench/internal/testenv"
	"github.com/claudebench/claudebench/lua"
)

func gaugesOf(f *fleet, view string) *Gauges {
	f.t.Helper()
	g, err := ReadGauges(context.Background(), f.scripts, f.options.InstanceTTL, view)
	if err != nil {
		f.t.Fatalf("read the gauges: %v", err)
	}
	return g
}

// Where nothing has happened there is nothing, and that is known.
func TestGaugesOfNothing(t *testing.T) {
	everywhere(t, Options{}, func(t *testing.T, f *fleet) {
		none := map[events.Type]int64{}
		for _, typ := range events.Types() {
			none[typ] = 0
		}
		want := &Gauges{
			Tasks:    map[string]int64{"pending": 0, "in_progress": 0, "completed": 0, "failed": 0},
			Assigned: new(int64(0)), Events: none, Waits: &Total{}, Runs: &Total{},
			Lags: map[string]Lag{"state": {}, "metrics": {}},
		}
		if diff := cmp.Diff(want, gaugesOf(f, "")); diff != "" {
			t.Errorf("-want +got\n%s", diff)
		}
	})
}

// What projections count is left out where they have not begun; the rest is as it is now. A reading counts nowhere.
func TestGaugesWithoutProjections(t *testing.T) {
	everywhere(t, Options{RateLimits: map[string]int{"system.metrics": 1}}, func(t *testing.T, f *fleet) {
		f.register("w", `["worker"]`, "")
		f.register("v", `[]`, "")
		for range 3 {
			f.create("x", "")
		}
		f.create("x", `,"metadata":{"roles":["b","a"]}`)
		f.create("x", `,"metadata":{"roles":["z"]}`)
		f.claim("w")
		seq := f.seq()
		middle := f.client.XRange(t.Context(), f.keys.Events(), "-", "+").Val()[seq-3].ID
		for range 3 {
			g := gaugesOf(f, middle)
			for name, lag := range g.Lags {
				if lag.Age < 0 || lag.Age > time.Minute {
					t.Errorf("%s is behind by %s", name, lag.Age)
				}
				g.Lags[name] = Lag{Events: lag.Events}
			}
			want := &Gauges{
				Seq: seq, Kept: seq, Instances: 2, Workers: 1, Open: 5, Pending: 2, Waiting: 2, RoleSets: 2,
				Lags: map[string]Lag{"state": {Events: seq}, "metrics": {Events: seq}, "tasks": {Events: 2}},
			}
			if diff := cmp.Diff(want, g); diff != "" {
				t.Errorf("-want +got\n%s", diff)
			}
		}
		if lag := gaugesOf(f, f.client.XRevRangeN(t.Context(), f.keys.Events(), "+", "-", 1).Val()[0].ID).Lags["tasks"]; lag != (Lag{}) {
			t.Errorf("a view that has all is behind by %+v", lag)
		}
		for _, s := range f.Stats() {
			if s.Method == "system.metrics" && s.Calls > 0 {
				t.Errorf("%d calls of system.metrics are counted", s.Calls)
			}
		}
		f.ok("system.metrics", `{}`) // which no reading has used up
		if n := f.client.Exists(t.Context(), f.keys.Prefix()+"service:checkpoint:tasks").Val(); n != 0 || f.seq() != seq {
			t.Error("reading has written")
		}
	})
}

// What an instance that is gone has left counts until it is put back.
func TestGaugesOfTheGone(t *testing.T) {
	everywhere(t, Options{}, func(t *testing.T, f *fleet) {
		f.register("w", `["worker"]`, "")
		f.create("x", "")
		f.create("y", "")
		f.claim("w")
		for f.client.ZCard(t.Context(), f.keys.Alive()).Val() > 0 {
			if _, err := f.scripts.Run(t.Context(), lua.Named("reassign_failed_tasks"), lua.EventContext("x", "", ""), "", 0, 0, 0, 0, 0); err != nil {
				t.Fatal(err)
			}
		}
		if g := gaugesOf(f, ""); g.Orphaned != 1 || g.OrphanQueues != 1 || g.Failed != 1 || g.Instances != 0 || g.Workers != 0 || g.Pending != 1 {
			t.Errorf("%+v", g)
		}
	})
}

// Nobody is behind by more than there is: a flush takes away what was before it.
func TestGaugesOfALogThatWasCut(t *testing.T) {
	t.Parallel()
	f := newFleet(t, realRedis(t), Options{})
	for range 5 {
		f.create("x", "")
	}
	for kept := int64(2); kept >= 0; kept -= 2 {
		if err := f.client.XTrimMaxLen(t.Context(), f.keys.Events(), kept).Err(); err != nil {
			t.Fatal(err)
		}
		g := gaugesOf(f, "1-1")
		if g.Seq != 5 || g.Kept != kept || len(g.Lags) != 3 {
			t.Errorf("%+v", g)
		}
		for name, lag := range g.Lags {
			if lag.Events != kept {
				t.Errorf("%s is behind by %d of the %d there are", name, lag.Events, kept)
			}
		}
	}
}

// Whoever has not been heard of for the TTL does not live, also when nobody has noticed yet.
func TestGaugesOfTheSilent(t *testing.T) {
	t.Parallel()
	f := newFleet(t, realRedis(t), Options{InstanceTTL: time.Millisecond})
	f.register("w", `["worker"]`, "")
	testenv.Eventually(t, patience, func() (bool, string) {
		g := gaugesOf(f, "")
		return g.Instances == 0 && g.Workers == 0, fmt.Sprintf("%+v", g)
	})
	if n := f.client.ZCard(t.Context(), f.keys.Alive()).Val(); n != 1 {
		t.Errorf("%d are in the index", n)
	}
}

// A Redis that hangs is given up when the time is over.
func TestGaugesOfARedisThatHangs(t *testing.T) {
	t.Parallel()
	server := testenv.OwnRedis(t, devstack.RedisOptions{})
	f := newFleet(t, testenv.ClientOf(t, server), Options{})
	gaugesOf(f, "")
	if err := server.Pause(); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 200*time.Millisecond)
	defer cancel()
	if g, err := ReadGauges(ctx, f.scripts, f.options.InstanceTTL, ""); !errors.Is(err, lua.ErrUnavailable) {
		t.Errorf("%+v, %v", g, err)
	}
	if err := server.Resume(); err != nil {
		t.Fatal(err)
	}
	gaugesOf(f, "")
}
