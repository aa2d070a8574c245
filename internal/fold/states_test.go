package fold

import (
	"fmt"
	"os"
	"slices"
	"strings"
	"testing"

	"github.com/claudebench/claudebench/events"
)

var allStates = []string{
	events.StatusScheduled, events.StatusBlocked, events.StatusPending, events.StatusInProgress, events.StatusCompleted, events.StatusFailed,
	events.StatusCancelled,
}

// taskEvents returns the types of the events of tasks.
func taskEvents() []events.Type {
	return slices.DeleteFunc(events.Types(), func(t events.Type) bool { return !strings.HasPrefix(string(t), "task.") })
}

// docs/guarantees.md shows the table that the fold uses.
func TestTheTableOfStatesIsDocumented(t *testing.T) {
	t.Parallel()
	text, err := os.ReadFile("../../docs/guarantees.md")
	if err != nil {
		t.Fatal(err)
	}
	documented := map[string]bool{}
	for line := range strings.Lines(string(text)) {
		documented[strings.TrimSpace(line)] = true
	}
	for _, typ := range taskEvents() {
		cells := transitions[typ]
		if cells == nil {
			t.Errorf("%s has no row in the table", typ)
			continue
		}
		row := "| `" + string(typ) + "` |"
		for _, from := range append([]string{noTask}, allStates...) {
			cell := strings.Join(cells[from], ", ")
			switch {
			case len(cells[from]) == 0:
				cell = "—"
			case cell == noTask:
				cell = "(gone)"
			}
			row += " " + cell + " |"
		}
		if !documented[row] {
			t.Errorf("docs/guarantees.md has not the row\n%s", row)
		}
	}
}

// lives has, for each state, events that bring the task t-3 into it.
var lives = map[string][]string{
	noTask:                 {},
	events.StatusScheduled: {`task.created {"id":"t-3","limitKey":"l","status":"scheduled","priority":50,"runAt":"2023-11-14T22:13:20.000Z"}`},
	events.StatusBlocked:   {`task.created {"id":"t-3","limitKey":"l","status":"blocked","priority":50}`},
	events.StatusPending:   {`task.created {"id":"t-3","limitKey":"l","status":"pending","priority":50}`},
	events.StatusInProgress: {
		`task.created {"id":"t-3","limitKey":"l","status":"pending","priority":50,"retry":{"maxAttempts":9,"backoffMs":1000,"factor":2,"maxBackoffMs":5000,"jitter":0.1}}`,
		`task.claimed {"taskId":"t-3","workerId":"w1","attempt":1,"previousStatus":"pending","waited":1}`,
	},
	events.StatusCompleted: {
		`task.created {"id":"t-3","limitKey":"l","status":"pending","priority":50}`,
		`task.claimed {"taskId":"t-3","workerId":"w1","attempt":1,"previousStatus":"pending","waited":1}`,
		`task.completed {"id":"t-3","workerId":"w1","attempt":1,"duration":1,"previousStatus":"in_progress"}`,
	},
	events.StatusFailed: {
		`task.created {"id":"t-3","limitKey":"l","status":"pending","priority":50}`,
		`task.claimed {"taskId":"t-3","workerId":"w1","attempt":1,"previousStatus":"pending","waited":1}`,
		`task.failed {"id":"t-3","workerId":"w1","attempt":1,"duration":1,"error":"x","failures":1,"previousStatus":"in_progress"}`,
	},
	events.StatusCancelled: {
		`task.created {"id":"t-3","limitKey":"l","status":"pending","priority":50}`,
		`task.cancelled {"id":"t-3","by":"x","reason":null,"previousStatus":"pending","workerId":null,"attempt":0}`,
	},
}

// eventIn returns an event of a type that says, as far as it can, what is true of the task t-3 in a
// state, and the state that it brings about.
func eventIn(typ events.Type, state, to string) string {
	owner, attempt := "null", 0
	if state == events.StatusInProgress || state == events.StatusCompleted || state == events.StatusFailed {
		owner, attempt = `"w1"`, 1
	}
	worker := strings.ReplaceAll(owner, "null", `"w1"`)
	switch typ {
	case events.TypeTaskCreated:
		if state != noTask {
			return `{"id":"t-3","limitKey":"l","status":"pending","priority":50}`
		}
		return fmt.Sprintf(`{"id":"t-SEQ","limitKey":"l","status":%q,"priority":50,"runAt":"2023-11-14T22:13:20.000Z"}`, to)
	case events.TypeTaskUpdated:
		return fmt.Sprintf(`{"id":"t-3","changes":{"text":"y"},"previousPriority":50,"status":%q}`, state)
	case events.TypeTaskDeleted:
		return fmt.Sprintf(`{"id":"t-3","previousStatus":%q,"previousAssignment":%s}`, state, owner)
	case events.TypeTaskAssigned:
		reason, instance := "requested", `"w1"`
		if state == events.StatusInProgress {
			reason = "session_changed"
		}
		return fmt.Sprintf(`{"taskId":"t-3","instanceId":%s,"previousAssignment":%s,"reason":%q,"previousStatus":%q}`, instance, owner, reason, state)
	case events.TypeTaskUnassigned:
		return fmt.Sprintf(`{"taskId":"t-3","instanceId":%s,"previousAssignment":%s,"reason":"requested","previousStatus":%q}`, worker, worker, state)
	case events.TypeTaskClaimed:
		return fmt.Sprintf(`{"taskId":"t-3","workerId":"w1","attempt":%d,"previousStatus":%q,"waited":2}`, attempt+1, state)
	case events.TypeTaskCompleted, events.TypeTaskFailed:
		return fmt.Sprintf(`{"id":"t-3","workerId":"w1","attempt":%d,"duration":2,"error":"x","failures":1,"previousStatus":%q}`, attempt, state)
	case events.TypeTaskRetried:
		return fmt.Sprintf(`{"id":"t-3","workerId":"w1","attempt":%d,"duration":2,"error":"x","failures":1,"previousStatus":%q,"runAt":"2023-11-14T22:13:21.000Z"}`, attempt, state)
	case events.TypeTaskCancelled:
		return fmt.Sprintf(`{"id":"t-3","by":"x","reason":null,"previousStatus":%q,"workerId":%s,"attempt":%d}`, state, owner, attempt)
	}
	return fmt.Sprintf(`{"id":"t-3","workerId":"w1","attempt":%d,"status":%q,"previousStatus":%q,"by":"x","reason":"dependencies","runAt":"2023-11-14T22:13:20.000Z",`+
		`"timeoutAt":null,"cancelAt":"2023-11-14T22:13:30.000Z"}`, attempt, to, state)
}

// Each cell of the table: the event is folded without a violation if and only if the table has the
// cell, and then the task has the state that it says.
func TestEachCellOfTheTable(t *testing.T) {
	t.Parallel()
	for _, typ := range taskEvents() {
		for state, life := range lives {
			targets := transitions[typ][state]
			if len(targets) == 0 {
				targets = []string{"unlawful"}
			}
			for _, to := range targets {
				t.Run(fmt.Sprintf("%s/%s to %s", typ, state, to), func(t *testing.T) {
					t.Parallel()
					checkCell(t, typ, state, to, life)
				})
			}
		}
	}
}

func checkCell(t *testing.T, typ events.Type, state, to string, life []string) {
	t.Helper()
	var told []string
	f := New(1, func(violation string) { told = append(told, violation) })
	lines := append([]string{
		`instance.registered {"id":"w1","roles":["worker"],"metadata":null,"sessionId":"s","resumed":false,"previousRoles":null}`,
		room(state != events.StatusBlocked),
	}, life...)
	switch {
	case typ == events.TypeTaskUnassigned && state == events.StatusPending:
		lines = append(lines, `task.assigned {"taskId":"t-3","instanceId":"w1","previousAssignment":null,"reason":"requested","previousStatus":"pending"}`)
	case typ == events.TypeTaskAssigned && state == events.StatusInProgress:
		lines = append(lines, `instance.registered {"id":"w1","roles":["worker"],"metadata":null,"sessionId":"t","resumed":false,"previousRoles":["worker"]}`)
	}
	lines = append(lines, room(to != events.StatusBlocked), string(typ)+" "+eventIn(typ, state, to))
	for i, line := range lines {
		if i == len(lines)-1 && len(told) > 0 {
			t.Fatalf("the life is not lawful: %q", told)
		}
		name, payload, _ := strings.Cut(line, " ")
		id := events.ID{MS: 1_700_000_000_000 + int64(i), Seq: 1 + int64(i)}
		version, _ := events.Version(events.Type(name))
		f.Apply(events.Envelope{
			ID: id, Seq: id.Seq, Type: events.Type(name), V: version, Timestamp: id.MS, Actor: "test",
			Payload: []byte(strings.ReplaceAll(payload, "t-SEQ", fmt.Sprint("t-", id.Seq))),
		})
	}
	if lawful := to != "unlawful"; lawful != (len(told) == 0) {
		t.Fatalf("lawful is %t, and told %q", lawful, told)
	}
	if to == "unlawful" || typ == events.TypeTaskCreated {
		return
	}
	got := noTask
	if task := f.Task(3); task != nil {
		got = task.Status
	}
	if got != to {
		t.Errorf("the task is %q, want %q", got, to)
	}
}

// room returns an event that sets the limit of the task's key so that another task may be pending, or
// none.
func room(some bool) string {
	if some {
		return `limit.changed {"key":"l","concurrent":9}`
	}
	return `limit.changed {"key":"l","concurrent":0}`
}
