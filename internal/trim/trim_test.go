package trim_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/redis/go-redis/v9"

	"github.com/claudebench/claudebench/events"
	"github.com/claudebench/claudebench/internal/fleettest"
	"github.com/claudebench/claudebench/internal/keys"
	"github.com/claudebench/claudebench/internal/logtest"
	"github.com/claudebench/claudebench/internal/trim"
	"github.com/claudebench/claudebench/lua"
)

// fixture is a log of which everything is archived and read.
type fixture struct {
	*logtest.Log
	t       *testing.T
	space   keys.Space
	ids     []events.ID
	trimmer *trim.Trimmer
}

// node is more than the number of entries that stay in a node of the stream.
const node = 100

func on(t *testing.T, client redis.UniversalClient, n int) *fixture {
	t.Helper()
	f := &fixture{Log: logtest.On(t, client), t: t}
	var err error
	if f.space, err = keys.New(f.Namespace); err != nil {
		t.Fatal(err)
	}
	if f.trimmer, err = trim.New(client, f.space); err != nil {
		t.Fatal(err)
	}
	f.ids = f.Add(events.TypeTaskCreated, `{"text":"x"}`, n)
	last := f.ids[n-1].String()
	f.do("HSET", f.space.Log(), "base", 1, "archive", "a", "archived", last, "archivedClosed", last)
	f.do("HSET", f.space.State(), "checkpoint", last)
	f.do("SET", f.space.Checkpoint("metrics"), last)
	return f
}

func newFixture(t *testing.T, n int) *fixture {
	t.Helper()
	return on(t, fleettest.RealRedis(t), n)
}

func (f *fixture) do(command ...any) {
	f.t.Helper()
	if err := f.Client.Do(f.t.Context(), command...).Err(); err != nil {
		f.t.Fatalf("%v: %v", command, err)
	}
}

// base returns the log's base, which must be that of its first event.
func (f *fixture) base() int64 {
	f.t.Helper()
	base, err := f.Client.HGet(f.t.Context(), f.space.Log(), "base").Int64()
	if err != nil {
		f.t.Fatal(err)
	}
	first, err := f.Client.XRangeN(f.t.Context(), f.space.Events(), "-", "+", 1).Result()
	if err != nil {
		f.t.Fatal(err)
	}
	if id, err := events.ParseID(first[0].ID); err != nil || id.Seq != base {
		f.t.Errorf("the base is %d and the first entry %s, %v", base, first[0].ID, err)
	}
	return base
}

// trim trims, and checks the base before each slice and at the end.
func (f *fixture) trim(p trim.Policy) trim.Report {
	f.t.Helper()
	report, err := f.trimmer.Trim(f.t.Context(), p, func(context.Context) error {
		f.base()
		return nil
	})
	if err != nil {
		f.t.Fatal(err)
	}
	if base := f.base(); base != report.First.Seq {
		f.t.Errorf("the base is %d, reported %s", base, report.First)
	}
	return report
}

// near checks that a log begins less than a node before an event.
func (f *fixture) near(seq int64) {
	f.t.Helper()
	if base := f.base(); base > seq || base <= seq-node {
		f.t.Errorf("the log begins with %d, want %d or up to %d before", base, seq, node)
	}
}

func TestWhatIsRetained(t *testing.T) {
	t.Parallel()
	f := newFixture(t, 5000)
	for _, c := range []struct {
		policy trim.Policy
		first  int64
	}{
		{trim.Policy{Age: time.Hour}, 1},
		{trim.Policy{Age: time.Hour, Events: 4500}, 501},
		{trim.Policy{Events: 4000}, 1001},
		{trim.Policy{Events: 4500}, 1001}, // what is gone stays gone
		{trim.Policy{Events: 1000, Age: time.Hour}, 4001},
		{trim.Policy{Age: time.Nanosecond}, 4001}, // the last thousand stay
	} {
		plan, err := f.trimmer.Plan(t.Context(), c.policy)
		if err != nil {
			t.Fatal(err)
		}
		report := f.trim(c.policy)
		f.near(c.first)
		if plan.Retained != report.Retained || plan.Removed < report.Removed || plan.Removed > report.Removed+node {
			t.Errorf("%+v: planned %+v, got %+v", c.policy, plan, report)
		}
		if report.HeldBack != 0 || len(report.Holders) != 0 {
			t.Errorf("%+v: held back: %+v", c.policy, report)
		}
	}
	for _, p := range []trim.Policy{{Age: -1}, {Events: 999}, {Events: -1}, {Age: 1, Ignore: []string{"state"}}, {Age: 1, Ignore: []string{""}}} {
		if _, err := f.trimmer.Plan(t.Context(), p); err == nil {
			t.Errorf("%+v is accepted", p)
		}
	}
}

// envelope returns an event as it is stored.
func envelope(id events.ID) string {
	return fmt.Sprintf(`{"id":"%s","seq":%d,"type":"task.created","v":1,"timestamp":%d,"actor":"a","cause":null,"trace":null,"payload":{}}`, id, id.Seq, id.MS)
}

// Events get old by the clock of Redis, and the oldest ones are found whatever the times are.
func TestAge(t *testing.T) {
	t.Parallel()
	f := newFixture(t, 1)
	ago := func(d time.Duration, n int) {
		for range n {
			id := events.ID{MS: time.Now().Add(-d).UnixMilli(), Seq: int64(len(f.ids)) + 1}
			f.ids = append(f.ids, id)
			f.do("XADD", f.space.Events(), id.String(), "data", envelope(id))
		}
	}
	f.do("DEL", f.space.Events())
	f.ids = nil
	ago(3*time.Hour, 300)
	ago(2*time.Hour, 300)
	ago(time.Hour, 1200)
	last := f.ids[len(f.ids)-1].String()
	f.do("HSET", f.space.Log(), "archivedClosed", last)
	f.do("HSET", f.space.State(), "checkpoint", last)
	f.do("SET", f.space.Checkpoint("metrics"), last)
	f.trim(trim.Policy{Age: 150 * time.Minute})
	f.near(301)
	f.trim(trim.Policy{Age: 90 * time.Minute})
	f.near(601)
	f.trim(trim.Policy{Age: time.Minute})
	f.near(801)
}

// Each reader holds back alone, is named, and releases what it has read. At 2000, everything from 2001
// on is needed.
func TestEachHolderHoldsBack(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		hold    func(f *fixture, at events.ID)
		release func(f *fixture)
		holder  trim.Holder
		ignore  bool // whether it can be ignored
	}{
		"archive": {
			hold:   func(f *fixture, at events.ID) { f.do("HSET", f.space.Log(), "archivedClosed", at.String()) },
			holder: trim.Holder{Kind: "archive", Name: "archive"},
		},
		"seal": {
			hold:   func(f *fixture, at events.ID) { f.do("HSET", f.space.Prefix()+"audit:seal", "last", at.String()) },
			holder: trim.Holder{Kind: "seal", Name: "seal"},
		},
		"state": {
			hold:   func(f *fixture, at events.ID) { f.do("HSET", f.space.State(), "checkpoint", at.String()) },
			holder: trim.Holder{Kind: "projection", Name: "state"},
		},
		"metrics": {
			hold:   func(f *fixture, at events.ID) { f.do("SET", f.space.Checkpoint("metrics"), at.String()) },
			holder: trim.Holder{Kind: "projection", Name: "metrics"},
		},
		"tasks": {
			hold:   func(f *fixture, at events.ID) { f.do("HSET", f.space.Positions(), "tasks", at.String()) },
			holder: trim.Holder{Kind: "projection", Name: "tasks"}, ignore: true,
		},
		"checkpoint": {
			hold: func(f *fixture, at events.ID) {
				store, err := events.NewRedisCheckpoints(f.Client, f.Namespace)
				if err == nil {
					err = store.Save(f.t.Context(), "billing, ü", at)
				}
				if err != nil {
					f.t.Fatal(err)
				}
			},
			holder: trim.Holder{Kind: "checkpoint", Name: "billing, ü"}, ignore: true,
		},
		"group of the log": {
			hold:   func(f *fixture, at events.ID) { f.do("XGROUP", "CREATE", f.space.Events(), "g", at.String()) },
			holder: trim.Holder{Kind: "group", Name: "events:g"}, ignore: true,
		},
		"pending of the log": {
			hold: func(f *fixture, at events.ID) {
				f.do("XGROUP", "CREATE", f.space.Events(), "g", at.String())
				f.do("XREADGROUP", "GROUP", "g", "c", "COUNT", 3000, "STREAMS", f.space.Events(), ">")
			},
			holder: trim.Holder{Kind: "group", Name: "events:g"}, ignore: true,
		},
		"group of a topic": {
			hold: func(f *fixture, at events.ID) {
				f.topic()
				f.do("XGROUP", "CREATE", f.space.Topic("task.created"), "g", at.String())
			},
			holder: trim.Holder{Kind: "group", Name: "task.created:g"}, ignore: true,
		},
		"pending of a topic": {
			hold: func(f *fixture, at events.ID) {
				f.topic()
				f.do("XGROUP", "CREATE", f.space.Topic("task.created"), "g", at.String())
				f.do("XREADGROUP", "GROUP", "g", "c", "COUNT", 3000, "STREAMS", f.space.Topic("task.created"), ">")
			},
			holder: trim.Holder{Kind: "group", Name: "task.created:g"}, ignore: true,
		},
		"group of a topic that has lost entries": {
			hold: func(f *fixture, at events.ID) {
				f.topic()
				f.do("XGROUP", "CREATE", f.space.Topic("task.created"), "g", at.String())
				f.do("XTRIM", f.space.Topic("task.created"), "MAXLEN", 10)
			},
			holder: trim.Holder{Kind: "group", Name: "task.created:g"}, ignore: true,
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			f := newFixture(t, 5000)
			c.hold(f, f.ids[1999])
			policy := trim.Policy{Events: 2000}
			report := f.trim(policy)
			f.near(2001)
			if len(report.Holders) != 1 || report.HeldBack != 1000 {
				t.Fatalf("held back: %+v", report)
			}
			needs, err := events.ParseID(report.Holders[0].Needs)
			if err != nil || needs.Seq != 2001 {
				t.Errorf("needs %s", report.Holders[0].Needs)
			}
			c.holder.Needs, c.holder.Events = report.Holders[0].Needs, 1000
			if diff := cmp.Diff(c.holder, report.Holders[0]); diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
			if c.ignore {
				policy.Ignore = []string{c.holder.Name}
				if report := f.trim(policy); len(report.Holders) != 0 {
					t.Errorf("ignored, it still holds back: %+v", report)
				}
				f.near(3001)
			}
		})
	}
}

// topic makes the topic of all events.
func (f *fixture) topic() {
	f.t.Helper()
	all := f.Entries()
	_, err := f.Client.Pipelined(f.t.Context(), func(p redis.Pipeliner) error {
		for _, id := range f.ids {
			p.XAdd(f.t.Context(), &redis.XAddArgs{Stream: f.space.Topic("task.created"), ID: id.String(), Values: []any{"data", all[id.String()]}})
		}
		return nil
	})
	if err != nil {
		f.t.Fatal(err)
	}
}

// These need nothing old: a group that has read its topic, however long ago, also if a new event has
// come since; an index of checkpoints with a name that has none; a coordinator whose view is off.
func TestWhatHoldsNothingBack(t *testing.T) {
	t.Parallel()
	f := newFixture(t, 3000)
	old := f.ids[9]
	f.do("XADD", f.space.Topic("batch.started"), old.String(), "data", "x")
	f.do("XGROUP", "CREATE", f.space.Topic("batch.started"), "g", "0")
	f.do("XREADGROUP", "GROUP", "g", "c", "COUNT", 10, "STREAMS", f.space.Topic("batch.started"), ">")
	f.do("XACK", f.space.Topic("batch.started"), "g", old.String())
	f.do("XADD", f.space.Topic("batch.completed"), old.String(), "data", "x")
	f.do("XGROUP", "CREATE", f.space.Topic("batch.completed"), "g", old.String())
	f.do("XADD", f.space.Topic("batch.completed"), f.ids[2500].String(), "data", "x")
	f.do("ZADD", f.space.Checkpoints(), 1, "gone")
	if report := f.trim(trim.Policy{Events: 1000}); len(report.Holders) != 0 {
		t.Errorf("held back: %+v", report)
	}
	f.near(2001)
}

// A coordinator of an earlier version holds the lease of a view and does not tell its position.
func TestAnUnknownPositionHoldsEverything(t *testing.T) {
	t.Parallel()
	f := newFixture(t, 3000)
	f.do("SET", f.space.Lease("tasks"), "old", "PX", 60_000)
	report := f.trim(trim.Policy{Events: 1000})
	if f.base() != 1 || report.Removed != 0 || len(report.Holders) != 1 || report.Holders[0].Name != "tasks" || report.HeldBack != 2000 {
		t.Errorf("%+v", report)
	}
}

func TestRefusals(t *testing.T) {
	t.Parallel()
	f := newFixture(t, 3000)
	policy := trim.Policy{Events: 1000}
	refused := func(want error) {
		t.Helper()
		if _, err := f.trimmer.Plan(t.Context(), policy); !errors.Is(err, want) {
			t.Errorf("planned with %v", err)
		}
		if _, err := f.trimmer.Trim(t.Context(), policy, func(context.Context) error { return nil }); !errors.Is(err, want) {
			t.Errorf("trimmed with %v", err)
		}
	}
	f.do("HSET", f.space.Log(), "flush", "f")
	refused(trim.ErrFlushing)
	f.do("HDEL", f.space.Log(), "flush")
	for _, field := range []string{"archive", "archivedClosed"} {
		value := f.Client.HGet(t.Context(), f.space.Log(), field).Val()
		f.do("HDEL", f.space.Log(), field)
		refused(trim.ErrNoArchive)
		f.do("HSET", f.space.Log(), field, value)
	}
	var many []redis.Z
	for i := range 2001 {
		many = append(many, redis.Z{Member: fmt.Sprint("s", i)})
	}
	if err := f.Client.ZAdd(t.Context(), f.space.Checkpoints(), many...).Err(); err != nil {
		t.Fatal(err)
	}
	refused(trim.ErrTooManyCheckpoints)
	if f.base() != 1 {
		t.Error("trimmed all the same")
	}
	stop := errors.New("stop")
	f.do("DEL", f.space.Checkpoints())
	if report, err := f.trimmer.Trim(t.Context(), policy, func(context.Context) error { return stop }); !errors.Is(err, stop) || report.Removed != 0 {
		t.Errorf("%+v, %v", report, err)
	}
}

// The topics are trimmed with the log, but not the last election: the term comes from it if the hash
// of the log is lost.
func TestTopicsAndTheTerm(t *testing.T) {
	t.Parallel()
	f := newFixture(t, 5000)
	f.topic()
	for i, id := range []events.ID{f.ids[100], f.ids[200]} {
		f.do("XADD", f.space.Topic("leader.elected"), id.String(), "data", fmt.Sprintf(`{"payload":{"term":%d}}`, i+6))
	}
	f.trim(trim.Policy{Events: 1500})
	f.near(3501)
	first, err := f.Client.XRangeN(t.Context(), f.space.Topic("task.created"), "-", "+", 1).Result()
	if err != nil || len(first) != 1 {
		t.Fatalf("%v, %v", first, err)
	}
	if id, err := events.ParseID(first[0].ID); err != nil || id.Seq <= 3501-2*node {
		t.Errorf("the topic begins with %s", first[0].ID)
	}
	f.do("DEL", f.space.Log())
	if _, err := lua.NewRunner(f.Client).On(f.space.Log()).Run(t.Context(), lua.Named("create_task"),
		`"actor":"a","cause":null,"trace":null`, "task.create:a", 0, "", "", "x", 50, "", "", "", "", ""); err != nil {
		t.Fatal(err)
	}
	f.base()
	if got := f.Client.HMGet(t.Context(), f.space.Log(), "seq", "term").Val(); got[0] != "5001" || got[1] != "7" {
		t.Errorf("recovered seq and term: %v", got)
	}
}

// What other programs have added to the log is removed with the events around it, and is never the base.
func TestForeignEntries(t *testing.T) {
	t.Parallel()
	f := newFixture(t, 1)
	at := f.ids[0].MS
	last := ""
	_, err := f.Client.Pipelined(t.Context(), func(p redis.Pipeliner) error {
		add := func(id, data string) {
			p.XAdd(t.Context(), &redis.XAddArgs{Stream: f.space.Events(), ID: id, Values: []any{"data", data}})
		}
		for seq := int64(2); seq <= 3000; seq++ {
			id := events.ID{MS: at + 10*seq, Seq: seq}
			last = id.String()
			add(last, envelope(id))
			for n := int64(1); n < 10 && seq > 1600 && seq < 1850; n++ {
				add(events.ID{MS: id.MS + n, Seq: 7}.String(), "not an event"+strings.Repeat("!", 200))
			}
		}
		add(fmt.Sprintf("%d-1", at+40_000), "not an event")
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	f.do("HSET", f.space.Log(), "archivedClosed", last)
	f.do("HSET", f.space.State(), "checkpoint", last)
	f.do("SET", f.space.Checkpoint("metrics"), last)
	report, err := f.trimmer.Trim(t.Context(), trim.Policy{Events: 1200}, func(context.Context) error { return nil })
	if err != nil {
		t.Fatal(err)
	}
	first, err := f.Client.XRangeN(t.Context(), f.space.Events(), "-", "+", 1).Result()
	if err != nil || !strings.HasSuffix(first[0].ID, "-7") {
		t.Fatalf("the log does not begin with an entry of another program: %v, %v", first, err)
	}
	base := f.Client.HGet(t.Context(), f.space.Log(), "base").Val()
	if base != fmt.Sprint(report.First.Seq) || report.First.Seq > 1801 || report.First.Seq < 1780 {
		t.Errorf("the base is %s, reported %s", base, report.First)
	}
}

func TestOnTheEmbeddedRedis(t *testing.T) {
	t.Parallel()
	f := on(t, fleettest.EmbeddedRedis(t), 3000)
	f.do("XGROUP", "CREATE", f.space.Events(), "g", f.ids[499].String())
	if report := f.trim(trim.Policy{Events: 1000}); len(report.Holders) != 1 || report.HeldBack != 1500 {
		t.Errorf("%+v", report)
	}
	f.near(501)
}

// Long events are removed like others.
func TestLongEvents(t *testing.T) {
	t.Parallel()
	f := newFixture(t, 1)
	f.ids = append(f.ids, f.Add(events.TypeTaskCreated, `{"text":"`+strings.Repeat("x", 20_000)+`"}`, 2500)...)
	last := f.ids[len(f.ids)-1].String()
	f.do("HSET", f.space.Log(), "archivedClosed", last)
	f.do("HSET", f.space.State(), "checkpoint", last)
	f.do("SET", f.space.Checkpoint("metrics"), last)
	f.trim(trim.Policy{Events: 1000})
	f.near(1502)
}
