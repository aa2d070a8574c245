package timetravel_test

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	gocmp "github.com/google/go-cmp/cmp"

	"github.com/claudebench/claudebench/commands"
	"github.com/claudebench/claudebench/internal/api"
	"github.com/claudebench/claudebench/internal/fleettest"
	"github.com/claudebench/claudebench/internal/position"
	"github.com/claudebench/claudebench/internal/timetravel"
)

// everyone is a limit that cuts nothing.
const everyone = 1 << 20

func parse(t *testing.T, text string) position.Position {
	t.Helper()
	p, err := position.Parse(text)
	if err != nil {
		t.Fatal(err)
	}
	return p
}

func stateAt(t *testing.T, f *fleettest.Fleet, at string) *api.PastState {
	t.Helper()
	s, err := timetravel.State(t.Context(), timetravel.Options{Log: readerOf(t, f), Limit: everyone}, parse(t, at))
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func diffOf(t *testing.T, f *fleettest.Fleet, from, to string) *api.PastDiff {
	t.Helper()
	d, err := timetravel.Diff(t.Context(), timetravel.Options{Log: readerOf(t, f), Limit: everyone}, parse(t, from), parse(t, to))
	if err != nil {
		t.Fatal(err)
	}
	return d
}

// work runs random commands. Those that are refused are part of it.
func work(f *fleettest.Fleet, random *rand.Rand) {
	instance := fmt.Sprintf("w:%d", random.IntN(4))
	task := fmt.Sprintf("t-%d", max(1, f.Seq()-int64(random.IntN(60))))
	roles := []string{`["worker"]`, `["worker","gpu"]`, `[]`}[random.IntN(3)]
	try := func(method, format string, args ...any) { _, _ = f.Do(method, fmt.Sprintf(format, args...)) }
	switch random.IntN(20) {
	case 0, 1, 2, 3:
		try("task.create", `{"text":"a task","priority":%d,"metadata":{"roles":%s}}`, random.IntN(4)*30, []string{`[]`, `["gpu"]`}[random.IntN(2)])
	case 4:
		try("task.create", `{"text":"later","delayMs":3600000,"limitKey":"l","timeoutMs":60000,"retry":{"maxAttempts":3}}`)
	case 5:
		try("task.create", `{"text":"needs","dependsOn":[%q],"limitKey":"l"}`, task)
	case 6, 7, 8:
		try("task.claim", `{"workerId":%q,"maxTasks":%d}`, instance, 1+random.IntN(3))
	case 9, 10:
		for n := range int64(60) { // whichever is claimed
			try("task.complete", `{"id":"t-%d"%s}`, max(1, f.Seq()-n), []string{"", `,"error":"no"`}[random.IntN(2)])
		}
	case 11:
		try("task.assign", `{"taskId":%q,"instanceId":%q}`, task, instance)
	case 12:
		try("task.update", `{"id":%q,"updates":{"priority":%d,"text":"changed"}}`, task, random.IntN(100))
	case 13:
		try("task.delete", `{"id":%q}`, task)
	case 14, 15:
		try("system.register", `{"id":%q,"roles":%s,"metadata":{"sessionId":"s%d"}}`, instance, roles, random.IntN(2))
	case 16:
		try("system.unregister", `{"instanceId":%q}`, instance)
	case 17:
		try([]string{"queue.pause", "queue.resume"}[random.IntN(2)], "%s", []string{`{}`, `{"roles":["gpu"]}`, `{"roles":[]}`}[random.IntN(3)])
	case 18:
		try("limit.set", `{"key":"l","concurrent":%d}`, random.IntN(3))
	default:
		try("task.cancel", `{"id":%q}`, task)
		f.SweepOnce()
		if _, err := f.StepTimers(context.Background()); err != nil {
			f.T.Fatalf("%v", err)
		}
	}
}

// seen is what the system said at a moment.
type seen struct {
	seq   int64
	state client
}

// client is what both the system and the fold say about a moment.
type client struct {
	Tasks     []seenTask
	Instances []seenInstance
	Pauses    int
}

type seenTask struct {
	ID, Status, Owner, Text string
	Priority, Attempt       int64
}

type seenInstance struct {
	ID, Roles, Status    string
	Leader               bool
	InProgress, Assigned int64
}

// look asks the system for its state.
func look(f *fleettest.Fleet) seen {
	now := fleettest.Decoded[api.GetStateResult](f.T, f.OK("system.get_state", `{"limit":200}`))
	if now.Totals != nil {
		f.T.Fatalf("the fleet is too large for the test: %+v", now.Totals)
	}
	s := seen{seq: f.Seq()}
	for _, t := range now.Tasks {
		owner := ""
		if t.AssignedTo != nil {
			owner = *t.AssignedTo
		}
		s.state.Tasks = append(s.state.Tasks, seenTask{string(t.ID), t.Status, owner, t.Text, int64(t.Priority), int64(t.Attempt)})
	}
	for _, i := range now.Instances {
		roles, err := json.Marshal(i.Roles)
		if err != nil {
			f.T.Fatalf("%v", err)
		}
		s.state.Instances = append(s.state.Instances, seenInstance{i.ID, string(roles), i.Status, i.IsLeader, i.InProgress, i.Assigned})
	}
	slices.SortFunc(s.state.Instances, func(a, b seenInstance) int { return cmp.Compare(a.ID, b.ID) })
	s.state.Pauses = len(now.Pauses)
	return s
}

// told returns what the fold says.
func told(p *api.PastState) client {
	var c client
	for _, t := range p.Tasks {
		c.Tasks = append(c.Tasks, seenTask{t.ID, t.Status, t.AssignedTo, t.Text, t.Priority, t.Attempt})
	}
	for _, i := range p.Instances {
		c.Instances = append(c.Instances, seenInstance{i.ID, string(i.Roles), i.Status, i.IsLeader, i.InProgress, i.Assigned})
	}
	for _, q := range p.Queues {
		if len(q.Pause) > 0 {
			c.Pauses++
		}
	}
	return c
}

// At random moments of a working fleet, the state equals what the system said then, and the difference
// of two moments is what makes the one state of the other.
func TestStateIsWhatTheSystemSaid(t *testing.T) {
	fleettest.Everywhere(t, commands.Options{InstanceTTL: time.Hour}, func(t *testing.T, f *fleettest.Fleet) {
		seed := rand.Uint64()
		t.Logf("seed %d", seed)
		random := rand.New(rand.NewPCG(seed, 1)) //nolint:gosec // a test's random source
		moments := []seen{look(f)}
		steps := 400
		if f.Embedded {
			steps = 100
		}
		for range steps {
			work(f, random)
			if random.IntN(10) == 0 {
				moments = append(moments, look(f))
			}
		}
		for _, m := range moments {
			past := stateAt(t, f, fmt.Sprint(m.seq))
			if diff := gocmp.Diff(m.state, told(past)); diff != "" {
				t.Fatalf("at seq %d: -said +folded\n%s", m.seq, diff)
			}
			if past.At.Seq != m.seq || len(past.Notes) > 0 || past.Totals.Tasks != int64(len(past.Tasks)) {
				t.Fatalf("at seq %d: %+v, %q, %+v", m.seq, past.At, past.Notes, past.Totals)
			}
		}
		for changed := int64(1); changed > 0; { // what has ended tells the tasks that wait for it, before the fold is compared
			var err error
			if changed, err = f.StepTimers(t.Context()); err != nil {
				t.Fatal(err)
			}
		}
		for range 10 {
			a, b := moments[random.IntN(len(moments))].seq, moments[random.IntN(len(moments))].seq
			differs(t, f, min(a, b), max(a, b))
		}
	})
}

// differs checks the difference of two moments.
func differs(t *testing.T, f *fleettest.Fleet, from, to int64) {
	t.Helper()
	before, after, d := stateAt(t, f, fmt.Sprint(from)), stateAt(t, f, fmt.Sprint(to)), diffOf(t, f, fmt.Sprint(from), fmt.Sprint(to))
	if d.Events != to-from || d.From.Seq != from || d.To.Seq != to {
		t.Fatalf("from %d to %d: %d events, %+v to %+v", from, to, d.Events, d.From, d.To)
	}
	tasks := map[string]api.PastTask{}
	for _, task := range before.Tasks {
		tasks[task.ID] = task
	}
	for _, c := range d.Tasks {
		if was, open := tasks[c.ID]; open && (c.Before == nil || !gocmp.Equal(was, *c.Before)) {
			t.Errorf("from %d to %d: %s was %+v, not %+v", from, to, c.ID, was, c.Before)
		}
		delete(tasks, c.ID)
		if c.After != nil && c.After.Place != "" {
			tasks[c.ID] = *c.After
		}
	}
	want := map[string]api.PastTask{}
	for _, task := range after.Tasks {
		want[task.ID] = task
	}
	if diff := gocmp.Diff(want, tasks); diff != "" {
		t.Fatalf("tasks from %d to %d: -want +got\n%s", from, to, diff)
	}
	instances := map[string]api.PastInstance{}
	for _, i := range before.Instances {
		instances[i.ID] = i
	}
	for _, c := range d.Instances {
		delete(instances, c.ID)
		if c.After != nil {
			instances[c.ID] = *c.After
		}
	}
	for _, i := range after.Instances {
		if !gocmp.Equal(i, instances[i.ID]) {
			t.Errorf("instances from %d to %d: %+v is %+v", from, to, i, instances[i.ID])
		}
		delete(instances, i.ID)
	}
	if len(instances) > 0 {
		t.Errorf("instances from %d to %d: %+v", from, to, instances)
	}
	for _, s := range d.Statuses {
		if before.Statuses[s.Status] != s.Before || after.Statuses[s.Status] != s.After {
			t.Errorf("statuses from %d to %d: %+v", from, to, s)
		}
	}
}

// The positions that a state can have, and those that it cannot.
func TestPositionsOfAState(t *testing.T) {
	fleettest.Everywhere(t, commands.Options{}, func(t *testing.T, f *fleettest.Fleet) {
		if s := stateAt(t, f, ""); s.At != (api.PastMoment{}) || len(s.Tasks)+len(s.Instances) != 0 {
			t.Errorf("an empty log: %+v", s)
		}
		f.Register("w1", `["worker"]`, "")
		task := f.Create("one", "")
		f.OK("queue.pause", `{"reason":"test"}`)
		all := f.Events()
		created := all[len(all)-2]
		for _, at := range []string{created.ID, fmt.Sprint(created.Seq)} {
			if s := stateAt(t, f, at); len(s.Tasks) != 1 || s.Tasks[0].ID != task || s.At.ID != created.ID || len(s.Queues) != 1 || s.Queues[0].Waiting != 1 || s.Leader != "w1" {
				t.Errorf("at %s: %+v", at, s)
			}
		}
		if s := stateAt(t, f, "0"); len(s.Tasks)+len(s.Instances) != 0 {
			t.Errorf("before the first event: %+v", s)
		}
		for _, at := range []string{"", "99999999999", "2999-01-01T00:00:00Z"} {
			if s := stateAt(t, f, at); len(s.Tasks) != 1 || s.At.Seq != f.Seq() || len(s.Queues) != 2 || string(s.Queues[1].Roles) != "null" {
				t.Errorf("at the end, %q: %+v", at, s)
			}
		}
		d := diffOf(t, f, fmt.Sprint(created.Seq), "")
		if len(d.Others) != 1 || d.Others[0].Kind != "pause" || d.Others[0].Name != "*" || d.Others[0].Before != "" || d.Events != 1 || len(d.Tasks) != 0 {
			t.Errorf("a pause: %+v", d)
		}
		cut, err := timetravel.Diff(t.Context(), timetravel.Options{Log: readerOf(t, f), Limit: 1}, parse(t, "0"), parse(t, ""))
		if err != nil || len(cut.Tasks) != 1 || cut.Totals.Created != 1 || len(cut.Instances) != 1 {
			t.Errorf("%+v, %v", cut, err)
		}
		o := timetravel.Options{Log: readerOf(t, f), Limit: 1}
		if _, err := timetravel.Diff(t.Context(), o, parse(t, "3"), parse(t, "2")); !errors.Is(err, timetravel.ErrOrder) {
			t.Errorf("from 3 to 2: %v", err)
		}
		f.Flush(fleettest.Confirmed)
		if _, err := timetravel.State(t.Context(), o, parse(t, fmt.Sprint(created.Seq))); !errors.Is(err, timetravel.ErrBefore) {
			t.Errorf("before a flush: %v", err)
		}
		if s := stateAt(t, f, ""); len(s.Tasks) != 0 || len(s.Notes) != 0 {
			t.Errorf("after a flush: %+v", s)
		}
		f.Create("after", "")
	})
}

// A fold that takes too much memory ends with an error.
func TestStateIsBounded(t *testing.T) {
	fleettest.Everywhere(t, commands.Options{}, func(t *testing.T, f *fleettest.Fleet) {
		items := make([]json.RawMessage, 100)
		for i := range items {
			items[i] = json.RawMessage(`{"text":"a task"}`)
		}
		text, err := json.Marshal(items)
		if err != nil {
			t.Fatal(err)
		}
		for range 11 {
			f.OK("task.create_many", `{"tasks":%s}`, text)
		}
		o := timetravel.Options{Log: readerOf(t, f), Limit: 10, MaxBytes: 100 << 10}
		if _, err := timetravel.State(t.Context(), o, parse(t, "")); !errors.Is(err, timetravel.ErrTooLarge) {
			t.Errorf("got %v", err)
		}
		o.MaxBytes = 10 << 20
		if s, err := timetravel.State(t.Context(), o, parse(t, "")); err != nil || len(s.Tasks) != 10 || s.Totals.Tasks != 1100 {
			t.Errorf("%+v, %v", s, err)
		}
	})
}
