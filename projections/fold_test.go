package projections_test

import (
	"encoding/json"
	"errors"
	"maps"
	"slices"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/claudebench/claudebench/events"
	"github.com/claudebench/claudebench/internal/api"
	"github.com/claudebench/claudebench/internal/minutes"
	"github.com/claudebench/claudebench/projections"
)

// day returns a log with every type of event.
func day() (h *history, task, failing, deleted string) {
	h = newHistory()
	h.register("w1", "worker", "ops", "ops")
	h.register("w2", "worker")
	h.register("w:3 é")
	task = h.create("write <tests>", 80, `{"b":1.10,"a":[],"big":12345678901234567890,"<":"\u00e9"}`)
	failing = h.create("fails", 50, "null")
	deleted = h.create("goes", 10, "null")
	h.now += 1500
	h.assign(task, "w2")
	h.unassign(task)
	h.assign(task, "w1")
	h.claim(task, "w1")
	h.claim(failing, "w2")
	h.now += 250
	h.assign(failing, "w2") // its session changed: back to its queue
	h.claim(failing, "w2")
	h.now += 250
	text, priority := "write better tests", int64(90)
	h.update(task, events.TaskChanges{Text: &text, Priority: &priority, Metadata: json.RawMessage(`{"b":2.0}`)})
	h.finish(task, `{"ok":true}`, "")
	h.finish(failing, "null", `"no luck"`)
	h.remove(deleted)
	h.register("w2", "reviewer", "reviewer")
	h.leave("w:3 é", true)
	h.leave("w1", false)
	h.elect("w2")
	return h, task, failing, deleted
}

func TestStateFoldsEveryEvent(t *testing.T) {
	t.Parallel()
	b := newBundle(t)
	b.prepare(t)
	h, _, _, _ := day()
	b.apply(t, oneBatch(h.events))
	if diff := cmp.Diff(h.state(), b.state(t)); diff != "" {
		t.Errorf("state (-want +got):\n%s", diff)
	}
	want(t, "state", b.state(t), map[string]string{
		"tasks.total": "2", "tasks.completed": "1", "tasks.failed": "1", "tasks.pending": "0",
		"instances": "1", "role.reviewer": "1", "role.worker": "", "role.ops": "", "leader": "w2", "term": "2",
	})
}

func TestMetricsFoldEveryEvent(t *testing.T) {
	t.Parallel()
	b := newBundle(t)
	b.prepare(t)
	h, _, _, _ := day()
	b.apply(t, oneBatch(h.events))
	want(t, "global", b.metrics(t, "global"), map[string]string{
		"eventsProcessed": "22", "tasksCreated": "3", "tasksUpdated": "1", "tasksDeleted": "1", "tasksAssigned": "3",
		"tasksUnassigned": "1", "tasksClaimed": "3", "tasksCompleted": "1", "tasksFailed": "1",
		"runCount": "2", "runTotalMs": "750", "runMaxMs": "500", "events.task.claimed": "3",
		"lastEvent": "leader.elected",
	})
	want(t, "minutes", b.metrics(t, "minutes"), map[string]string{
		"created.13": "28333333:3", "completed.13": "28333333:1", "failed.13": "28333333:1",
	})
	for what, times := range map[string][]int64{minutes.Wait: {1, 2048}, minutes.Run: {256, 512}} {
		if got := minutes.Quantiles(b.metrics(t, "minutes"), what, 28333333, 0, 1); !slices.Equal(got, times) {
			t.Errorf("%s from %v ms, want %v", what, got, times)
		}
	}
	want(t, "queues", b.metrics(t, "queues"), map[string]string{
		"pending": "0", "assigned": "0", "inProgress": "0", "waitCount": "3", "requeued": "1", "waitTotalMs": "1500", "waitMaxMs": "1500",
	})
	want(t, "scaling", b.metrics(t, "scaling"), map[string]string{
		"instances": "1", "workers": "0", "instancesRegistered": "4", "instancesUnregistered": "1", "instancesFailed": "1",
		"leaderElections": "2", "tasksReassigned": "2", "assigned.w2": "2", "claimed.w2": "2", "failed.w2": "1",
		"completed.w2": "0", "assigned.w1": "", "claimed.w1": "", "assigned.w:3 é": "",
	})
	want(t, "events", b.metrics(t, "events:task.claimed"), map[string]string{"count": "3", "lastAt": "2023-11-14T22:13:21.750Z"})
}

func TestTasksHoldEveryEvent(t *testing.T) {
	t.Parallel()
	b := newBundle(t)
	b.prepare(t)
	h, task, failing, deleted := day()
	b.apply(t, oneBatch(h.events))
	rows := b.rows(t)
	if _, ok := rows[deleted]; ok || len(rows) != 2 {
		t.Errorf("rows are %v, want %s and %s", rows, task, failing)
	}
	page, err := b.tasks.List(t.Context(), api.TaskQuery{Limit: 10})
	if err != nil {
		t.Fatal(err)
	}
	got := []string{string(page.Tasks[0]), string(page.Tasks[1])}
	wanted := []string{
		`{"id":"` + task + `","text":"write better tests","status":"completed","priority":90,"assignedTo":"w1","attempt":1,` +
			`"metadata":{"b":2.0},"result":{"ok":true},"error":null,"createdAt":"2023-11-14T22:13:20.000Z",` +
			`"updatedAt":"2023-11-14T22:13:22.000Z","completedAt":"2023-11-14T22:13:22.000Z",` +
			`"failures":0,"losses":0,"runAt":null,"errors":[]}`,
		`{"id":"` + failing + `","text":"fails","status":"failed","priority":50,"assignedTo":"w2","attempt":2,` +
			`"metadata":null,"result":null,"error":"no luck","createdAt":"2023-11-14T22:13:20.000Z",` +
			`"updatedAt":"2023-11-14T22:13:22.000Z","completedAt":"2023-11-14T22:13:22.000Z",` +
			`"failures":1,"losses":0,"runAt":null,"errors":[{"attempt":2,"workerId":"w2","at":"2023-11-14T22:13:22.000Z","error":"no luck"}]}`,
	}
	if diff := cmp.Diff(wanted, got); diff != "" || page.Total != 2 {
		t.Errorf("%d tasks (-want +got):\n%s", page.Total, diff)
	}
}

func TestUsersJSONComesBackAsItWas(t *testing.T) {
	t.Parallel()
	b := newBundle(t)
	b.prepare(t)
	const metadata = `{"z":1.10,"a":[],"e":{},"big":12345678901234567890,"<&>":"\u00e9\ud83d\ude00 é","z":2}`
	h := newHistory()
	h.create("a <b> & \"c\" \\ \u2028 é", 1, metadata)
	b.apply(t, oneBatch(h.events))
	page, err := b.tasks.List(t.Context(), api.TaskQuery{Limit: 1})
	if err != nil {
		t.Fatal(err)
	}
	var got struct {
		Text     string
		Metadata json.RawMessage
	}
	if err := json.Unmarshal(page.Tasks[0], &got); err != nil {
		t.Fatal(err)
	}
	if string(got.Metadata) != metadata {
		t.Errorf("metadata came back as %s", got.Metadata)
	}
	if got.Text != "a <b> & \"c\" \\ \u2028 é" {
		t.Errorf("text came back as %q", got.Text)
	}
}

func TestABatchAppliedTwiceCountsOnce(t *testing.T) {
	t.Parallel()
	b := newBundle(t)
	b.prepare(t)
	h, _, _, _ := day()
	b.apply(t, oneBatch(h.events))
	before := b.views(t)
	for _, p := range b.all {
		if err := p.Apply(t.Context(), oneBatch(h.events)); !errors.Is(err, projections.ErrCheckpointMoved) {
			t.Errorf("%s says %v to a batch that it has, want ErrCheckpointMoved", p.Name(), err)
		}
	}
	if diff := cmp.Diff(before, b.views(t)); diff != "" {
		t.Errorf("the second time changed something (-before +after):\n%s", diff)
	}
}

func TestAFlushStartsAnew(t *testing.T) {
	t.Parallel()
	for _, postgres := range []bool{true, false} {
		b := newBundle(t)
		b.prepare(t)
		h, _, _, _ := day()
		h.flush(postgres)
		h.register("w9", "worker")
		h.create("new", 50, "null")
		b.apply(t, oneBatch(h.events))
		if diff := cmp.Diff(h.state(), b.state(t)); diff != "" {
			t.Errorf("state (-want +got):\n%s", diff)
		}
		want(t, "global", b.metrics(t, "global"), map[string]string{"eventsProcessed": "4", "tasksCreated": "1", "tasksClaimed": ""})
		if left := b.metrics(t, "events:task.claimed"); len(left) != 0 {
			t.Errorf("metrics of task.claimed are still %v", left)
		}
		wanted := 3
		if postgres {
			wanted = 1
		}
		if rows := b.rows(t); len(rows) != wanted {
			t.Errorf("flush with Postgres %v leaves %d rows, want %d", postgres, len(rows), wanted)
		}
		indexed := len(h.events)
		if postgres { // system.flushed, and what follows it
			indexed = 4
		}
		if rows := b.eventRows(t); len(rows) != indexed {
			t.Errorf("flush with Postgres %v leaves %d rows of the event index, want %d", postgres, len(rows), indexed)
		}
	}
}

func TestAnEventThatCannotBeFoldedStopsTheBatch(t *testing.T) {
	t.Parallel()
	b := newBundle(t)
	b.prepare(t)
	h := newHistory()
	h.create("fine", 50, "null")
	for name, wrong := range map[string]struct {
		change func(*events.Envelope)
		want   error
	}{
		"payload": {func(e *events.Envelope) {
			e.Payload = json.RawMessage(`{"taskId":7,"instanceId":7,"previousStatus":7}`)
		}, events.ErrMalformed},
		"version": {func(e *events.Envelope) { e.V = 99 }, events.ErrUnknownVersion},
		"type":    {func(e *events.Envelope) { e.Type = "task.imagined" }, events.ErrUnknownType},
	} {
		list := append([]events.Envelope{}, h.events...)
		bad := newHistory()
		bad.seq, bad.now = h.seq, h.now
		bad.tasks = maps.Clone(h.tasks)
		bad.claim("t-1", "w1")
		wrong.change(&bad.events[0])
		for _, p := range b.all {
			if p == b.events && name == "payload" {
				continue // it stores the payload and does not need it
			}
			if err := p.Apply(t.Context(), oneBatch(append(list, bad.events[0]))); !errors.Is(err, wrong.want) {
				t.Errorf("%s says %v to a bad %s, want %v", p.Name(), err, name, wrong.want)
			}
			if at, err := p.Checkpoint(t.Context()); err != nil || !at.IsZero() {
				t.Errorf("%s moved to %s over a bad %s (%v)", p.Name(), at, name, err)
			}
		}
	}
}

func TestEntriesThatAreNoEventsAreSteppedOver(t *testing.T) {
	t.Parallel()
	b := newBundle(t)
	b.prepare(t)
	h := newHistory()
	h.create("fine", 50, "null")
	h.create("overwritten below", 50, "null")
	batch := oneBatch(h.events)
	batch.Entries[1].Envelope, batch.Entries[1].Err = events.Envelope{}, events.ErrMalformed
	b.apply(t, batch)
	want(t, "state", b.state(t), map[string]string{"tasks.total": "1", "version": "2", "lastEventId": h.events[0].ID.String()})
	b.caughtUp(t, 2)
}

func TestOldMinutesLeaveTheRing(t *testing.T) {
	t.Parallel()
	b := newBundle(t)
	b.prepare(t)
	h := newHistory()
	h.register("w1", "worker")
	for range 3 {
		id := h.create("x", 50, "null")
		h.claim(id, "w1")
		h.finish(id, "null", "")
		h.now += time.Hour.Milliseconds()
	}
	b.apply(t, oneBatch(h.events))
	hash := b.metrics(t, "minutes")
	want(t, "minutes", hash, map[string]string{"created.13": "28333453:1", "completed.13": "28333453:1"})
	if got := minutes.Quantiles(hash, minutes.Wait, 28333453-minutes.Kept, 0.5); got != nil {
		t.Errorf("the minute an hour before has %v", got)
	}
}
