package system_test

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/claudebench/claudebench/commands"
	"github.com/claudebench/claudebench/internal/api"
	"github.com/claudebench/claudebench/internal/fleettest"
	"github.com/claudebench/claudebench/lua"
)

type instanceJSON struct {
	ID            string          `json:"id"`
	Roles         []string        `json:"roles"`
	Status        string          `json:"status"`
	LastSeen      int64           `json:"lastSeen"`
	LastHeartbeat string          `json:"lastHeartbeat"`
	RegisteredAt  string          `json:"registeredAt"`
	Metadata      json.RawMessage `json:"metadata"`
	IsLeader      bool            `json:"isLeader"`
}

type stateJSON struct {
	Tasks        []fleettest.Task
	Instances    []instanceJSON
	RecentEvents []json.RawMessage
	Totals       *struct{ Tasks, Instances int }
}

func readState(f *fleettest.Fleet) stateJSON {
	f.T.Helper()
	return fleettest.Decoded[stateJSON](f.T, f.OK("system.get_state", `{}`))
}

func (s stateJSON) taskIDs() (ids []string) {
	for _, t := range s.Tasks {
		ids = append(ids, t.ID)
	}
	return ids
}

func (s stateJSON) instanceIDs() (ids []string) {
	for _, i := range s.Instances {
		ids = append(ids, i.ID)
	}
	return ids
}

func TestGetState(t *testing.T) {
	fleettest.Everywhere(t, commands.Options{}, func(t *testing.T, f *fleettest.Fleet) {
		if got := string(f.OK("system.get_state", `{}`)); got != `{}` {
			t.Errorf("an empty system: %s", got)
		}
		low := f.Create("low", `,"priority":1`)
		high := f.Create("high", `,"priority":99,"metadata":{"big":12345678901234567}`)
		done := f.Create("done", `,"priority":100`)
		only := fleettest.Decoded[map[string]json.RawMessage](t, f.OK("system.get_state", `{}`))
		if len(only) != 2 || only["tasks"] == nil || only["recentEvents"] == nil {
			t.Errorf("without instances it holds %v", only)
		}
		f.Register("lead/a:b", `["x","worker"]`, `,"metadata":{"maxTasks":0,"n":1.50}`)
		f.Register("other", `[]`, "")
		if got := f.Claim("other"); got != done {
			t.Fatalf("claimed %s", got)
		}
		f.OK("task.complete", `{"id":%q}`, done)
		if got := f.Claim("other"); got != high {
			t.Fatalf("claimed %s", got)
		}
		before := f.Seq()
		s := readState(f)
		if f.Seq() != before {
			t.Error("a snapshot emitted an event")
		}

		if diff := cmp.Diff([]string{high, low}, s.taskIDs()); diff != "" {
			t.Errorf("tasks: -want +got\n%s", diff)
		}
		for _, task := range s.Tasks {
			if diff := cmp.Diff(f.Get(task.ID), task); diff != "" {
				t.Errorf("-task.get +system.get_state\n%s", diff)
			}
		}
		for i, want := range []instanceJSON{
			{ID: "other", Roles: []string{}, Status: "BUSY", Metadata: json.RawMessage(`null`)},
			{
				ID: "lead/a:b", Roles: []string{"x", "worker"}, Status: "ACTIVE", IsLeader: true,
				Metadata: json.RawMessage(`{"maxTasks":0,"n":1.50}`),
			},
		} {
			h := f.Hash(f.Keys.Instance(want.ID))
			want.LastSeen, want.LastHeartbeat, want.RegisteredAt = lua.Integer(h["lastSeen"]), h["lastHeartbeat"], h["registeredAt"]
			j := slices.IndexFunc(s.Instances, func(i instanceJSON) bool { return i.ID == want.ID })
			if j < 0 {
				t.Fatalf("instance %d, %s, is missing", i, want.ID)
			}
			if diff := cmp.Diff(want, s.Instances[j]); diff != "" {
				t.Errorf("-want +got\n%s", diff)
			}
		}
		var want []string
		for _, e := range f.Events() {
			want = append(want, e.ID)
		}
		slices.Reverse(want)
		var got []string
		for _, text := range s.RecentEvents {
			got = append(got, fleettest.Decoded[fleettest.Event](t, text).ID)
		}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("events: -want +got\n%s", diff)
		}
		if s.Totals != nil {
			t.Errorf("nothing was cut, and yet totals are %+v", *s.Totals)
		}
		// There is no leader, and silent instances are not alive.
		f.OK("system.unregister", `{"instanceId":"lead/a:b"}`)
		f.BuryAll(t)
		if s := readState(f); len(s.Instances) != 0 || len(s.Tasks) != 2 {
			t.Errorf("instances %v, tasks %v", s.instanceIDs(), s.taskIDs())
		}
	})
}

// An instance that was silent for the TTL is not alive, even if no check has declared it dead. A
// leader whose lease has expired is no leader.
func TestGetStateOfTheSilent(t *testing.T) {
	fleettest.Everywhere(t, commands.Options{}, func(t *testing.T, f *fleettest.Fleet) {
		f.Register("a", `[]`, "")
		f.Register("b", `[]`, "")
		f.Put([]any{"HSET", f.Keys.Leader(), "until", "1"})
		for _, i := range readState(f).Instances {
			if i.IsLeader {
				t.Errorf("%s leads without a lease", i.ID)
			}
		}
		f.Put([]any{"ZADD", f.Keys.Alive(), f.Client.Time(t.Context()).Val().UnixMilli() - 30_001, "b"})
		if got := readState(f).instanceIDs(); len(got) != 1 || got[0] != "a" {
			t.Errorf("alive are %v", got)
		}
	})
}

// Long lists are cut, and the totals contain the full numbers.
func TestGetStateIsCut(t *testing.T) {
	fleettest.Everywhere(t, commands.Options{InstanceTTL: time.Hour}, func(t *testing.T, f *fleettest.Fleet) {
		const many = 250
		var created []string
		for n := range many {
			created = append(created, f.Create("x", fmt.Sprintf(`,"priority":%d`, n%3)))
			f.Register(fmt.Sprint("i", n), `[]`, "")
			f.Put([]any{"ZADD", f.Keys.Alive(), f.Client.Time(t.Context()).Val().UnixMilli() - 20_000 + int64(n), fmt.Sprint("i", n)})
		}
		var best []string
		for priority := 2; priority >= 0; priority-- {
			for n, id := range created {
				if n%3 == priority {
					best = append(best, id)
				}
			}
		}
		s := readState(f)
		if diff := cmp.Diff(best[:200], s.taskIDs()); diff != "" {
			t.Errorf("tasks: -want +got\n%s", diff)
		}
		var last []string
		for n := many - 1; n >= many-200; n-- {
			last = append(last, fmt.Sprint("i", n))
		}
		if diff := cmp.Diff(last, s.instanceIDs()); diff != "" {
			t.Errorf("instances: -want +got\n%s", diff)
		}
		if s.Totals == nil || s.Totals.Tasks != many || s.Totals.Instances != many {
			t.Errorf("totals are %+v", s.Totals)
		}
		if len(s.RecentEvents) != 100 {
			t.Errorf("%d events", len(s.RecentEvents))
		}
		// A model's context is small.
		text, err := f.Call(t.Context(), api.Request{Method: "system.get_state", Params: []byte("{}"), MCP: true})
		if err != nil {
			t.Fatal(err)
		}
		short := fleettest.Decoded[stateJSON](t, text)
		if len(text) > 20_000 || len(short.Tasks) < 5 || len(short.Instances) < 5 || len(short.RecentEvents) < 5 || short.Totals.Tasks != many {
			t.Errorf("over MCP %d bytes: %d tasks, %d instances, %d events, totals %+v", len(text), len(short.Tasks), len(short.Instances), len(short.RecentEvents), short.Totals)
		}
		limited := fleettest.Decoded[stateJSON](t, f.OK("system.get_state", `{"limit":3}`))
		if len(limited.Tasks) != 3 || len(limited.Instances) != 3 || len(limited.RecentEvents) != 3 {
			t.Errorf("with a limit of 3: %d tasks, %d instances, %d events", len(limited.Tasks), len(limited.Instances), len(limited.RecentEvents))
		}
		for i, text := range s.RecentEvents {
			if e := fleettest.Decoded[fleettest.Event](t, text); e.Seq != f.Seq()-int64(i) {
				t.Fatalf("event %d is number %d", i, e.Seq)
			}
		}
	})
}

// A snapshot stays small even if users' metadata is long.
func TestGetStateIsCutByBytes(t *testing.T) {
	t.Parallel()
	f := fleettest.New(t, fleettest.RealRedis(t), commands.Options{})
	big := fmt.Sprintf(`,"metadata":{"x":%q}`, strings.Repeat("x", 300_000))
	for n := range 4 {
		f.Create("x", big)
		f.Register(fmt.Sprint("i", n), `[]`, big)
	}
	s := readState(f)
	if len(s.Tasks) != 2 || len(s.Instances) != 2 || len(s.RecentEvents) != 2 || s.Totals.Tasks != 4 || s.Totals.Instances != 4 {
		t.Errorf("%d tasks, %d instances, %d events, totals %+v", len(s.Tasks), len(s.Instances), len(s.RecentEvents), s.Totals)
	}
}

// A foreign entry in the log is not an event, and does not break the answer.
func TestGetStateWithForeignEntries(t *testing.T) {
	t.Parallel()
	f := fleettest.New(t, fleettest.RealRedis(t), commands.Options{})
	f.Create("x", "")
	for _, data := range []string{"no JSON", `{"id":`, `[]`, ""} {
		f.Put([]any{"XADD", f.Keys.Events(), "*", "data", data}, []any{"XADD", f.Keys.Events(), "*", "other", `{"id":"1-1"}`})
	}
	if s := readState(f); len(s.RecentEvents) != 1 || len(s.Tasks) != 1 {
		t.Errorf("%d events, %d tasks", len(s.RecentEvents), len(s.Tasks))
	}
}

// A snapshot is of one moment: its tasks are as its last event left them, even with concurrent
// writers.
func TestGetStateIsOfOneMoment(t *testing.T) {
	fleettest.Everywhere(t, commands.Options{}, func(t *testing.T, f *fleettest.Fleet) {
		f.Register("w", `[]`, "")
		written := make(chan struct{})
		var writers sync.WaitGroup
		for range 3 {
			writers.Go(func() {
				for range 30 {
					id := f.Create("x", "")
					f.OK("task.assign", `{"taskId":%q,"instanceId":"w"}`, id)
					f.OK("task.complete", `{"id":%q}`, id)
				}
			})
		}
		go func() {
			defer close(written)
			writers.Wait()
		}()
		var snapshots []stateJSON
		for done := false; !done && len(snapshots) < 60; {
			snapshots = append(snapshots, readState(f))
			select {
			case <-written:
				done = true
			default:
			}
		}
		<-written
		events := f.Events()
		for _, s := range snapshots {
			open := map[string]bool{}
			last := fleettest.Decoded[fleettest.Event](t, s.RecentEvents[0]).Seq
			for _, e := range events[:last] {
				p := fleettest.Decoded[fleettest.Payload](t, e.Payload)
				switch e.Type {
				case "task.created":
					open[p.ID] = true
				case "task.completed":
					delete(open, p.ID)
				}
			}
			got := map[string]bool{}
			for _, id := range s.taskIDs() {
				got[id] = true
			}
			if diff := cmp.Diff(open, got); diff != "" {
				t.Fatalf("after event %d: -log +snapshot\n%s", last, diff)
			}
		}
	})
}
