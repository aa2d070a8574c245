package fold_test

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/claudebench/claudebench/events"
	"github.com/claudebench/claudebench/internal/fold"
)

// story folds events written as lines `type payload`, the first with seq first, a millisecond
// apart, and returns the violations. In a payload, NOW is the event's own time in ms.
func story(t *testing.T, base, first int64, lines ...string) (*fold.Fold, []string) {
	t.Helper()
	var told []string
	f := fold.New(base, func(violation string) { told = append(told, violation) })
	for i, line := range lines {
		typ, payload, _ := strings.Cut(line, " ")
		id := events.ID{MS: 1_700_000_000_000 + int64(i), Seq: first + int64(i)}
		payload = strings.ReplaceAll(payload, "NOW", fmt.Sprint(id.MS))
		if !json.Valid([]byte(payload)) {
			t.Fatalf("no JSON: %s", payload)
		}
		f.Apply(events.Envelope{ID: id, Seq: id.Seq, Type: events.Type(typ), V: version(payload), Timestamp: id.MS, Actor: "test", Payload: []byte(payload)})
	}
	return f, told
}

// version returns the version of a payload: 2 if it has members that version 1 does not have.
func version(payload string) int {
	if strings.Contains(payload, "metadataChanges") {
		return 2
	}
	return 1
}

// An update contains the whole metadata in version 1, and the changed members in version 2.
func TestFoldMergesMetadata(t *testing.T) {
	f, told := story(t, 3, 3, createGPU,
		`task.updated {"id":"t-3","changes":{"metadataChanges":{"a":1.0,"b":null}},"previousPriority":50,"status":"pending"}`,
		`task.updated {"id":"t-3","changes":{"metadata":{"a":1.0,"roles":["x"]}},"previousPriority":50,"status":"pending"}`,
		`task.updated {"id":"t-3","changes":{"metadataChanges":{"roles":["y"],"c":{}}},"previousPriority":50,"status":"pending"}`)
	got := slices.Collect(f.Tasks())[0]
	if want := `{"a":1.0,"roles":["y"],"c":{}}`; got.Metadata != want || got.Roleset != `["y"]` || len(told) > 0 {
		t.Errorf("metadata %s, roles %s, want %s; told %v", got.Metadata, got.Roleset, want, told)
	}
}

const (
	registerW1 = `instance.registered {"id":"w1","roles":["worker"],"metadata":null,"sessionId":"s","resumed":false,"previousRoles":null}`
	registerW2 = `instance.registered {"id":"w2","roles":["worker"],"metadata":null,"sessionId":null,"resumed":false,"previousRoles":null}`
	electW1    = `leader.elected {"id":"w1","term":1,"previous":null}`
	createT3   = `task.created {"id":"t-3","text":"x","status":"pending","priority":50,"assignedTo":null,"attempt":0,"metadata":null,"completedAt":null}`
	createGPU  = `task.created {"id":"t-3","text":"x","status":"pending","priority":50,"assignedTo":null,"attempt":0,"metadata":{"roles":["gpu"]},"completedAt":null}`
)

func assignT3(to, reason, from string) string {
	return fmt.Sprintf(`task.assigned {"taskId":"t-3","instanceId":%q,"previousAssignment":%s,"reason":%q,"previousStatus":"pending"}`, to, from, reason)
}

func claimT3(by string, attempt, waited int) string {
	return fmt.Sprintf(`task.claimed {"taskId":"t-3","workerId":%q,"attempt":%d,"previousStatus":"pending","waited":%d}`, by, attempt, waited)
}

func completeT3(by string, attempt, duration int) string {
	return fmt.Sprintf(`task.completed {"id":"t-3","workerId":%q,"attempt":%d,"duration":%d,"result":[1],"previousStatus":"in_progress"}`, by, attempt, duration)
}

func unassignT3(from, status string) string {
	return fmt.Sprintf(`task.unassigned {"taskId":"t-3","instanceId":%q,"previousAssignment":%q,"reason":"requested","previousStatus":%q}`, from, from, status)
}

func TestFoldTellsWhatIsNotLawful(t *testing.T) {
	t.Parallel()
	begin := []string{registerW1, registerW2, createT3}
	for name, c := range map[string]struct {
		lines []string
		told  string // "" if all is valid
	}{
		"a task's life": {[]string{
			assignT3("w1", "requested", "null"), unassignT3("w1", "pending"), claimT3("w2", 1, 1), unassignT3("w2", "in_progress"),
			claimT3("w1", 2, 1), completeT3("w1", 2, 1),
		}, ""},
		"finished twice":          {[]string{claimT3("w1", 1, 1), completeT3("w1", 1, 1), completeT3("w1", 1, 2)}, "task t-3 is finished a second time: it is completed with w1"},
		"finished unclaimed":      {[]string{completeT3("w1", 1, 0)}, "task t-3 is finished by w1 while it is pending"},
		"finished by another":     {[]string{claimT3("w1", 1, 1), completeT3("w2", 1, 1)}, "task t-3 is finished by w2 while it is in_progress with w1"},
		"finished by an old try":  {[]string{claimT3("w1", 1, 1), unassignT3("w1", "in_progress"), claimT3("w1", 2, 1), completeT3("w1", 1, 1)}, "finished as attempt 1 during attempt 2"},
		"claimed twice":           {[]string{claimT3("w1", 1, 1), claimT3("w2", 2, 2)}, "task t-3 is claimed by w2 while it is in_progress with w1"},
		"claimed by another":      {[]string{assignT3("w1", "requested", "null"), claimT3("w2", 1, 2)}, "claimed by w2 while it is assigned to w1"},
		"attempt does not rise":   {[]string{claimT3("w1", 1, 1), unassignT3("w1", "in_progress"), claimT3("w1", 1, 1)}, "claimed as attempt 1 after attempt 1"},
		"wrong waiting time":      {[]string{claimT3("w1", 1, 5)}, "task t-3 waited 1 ms, but the event says 5"},
		"assigned twice":          {[]string{assignT3("w1", "requested", "null"), assignT3("w2", "requested", `"w1"`)}, "assigned to w2 (requested) while it is pending with w1"},
		"taken over":              {[]string{assignT3("w1", "instance_registered", "null"), assignT3("w2", "rebalanced", `"w1"`)}, ""},
		"taken from who asked":    {[]string{assignT3("w1", "requested", "null"), assignT3("w2", "rebalanced", `"w1"`)}, "is taken from w1, but a caller assigned it"},
		"taken from nobody":       {[]string{unassignT3("w1", "pending")}, "is taken from w1 while it is pending"},
		"given to a stranger":     {[]string{assignT3("w9", "requested", "null")}, "task t-3 is assigned to w9, which is not registered"},
		"created again":           {[]string{strings.Replace(createT3, "t-3", "t-3", 1)}, "task t-3 was created before"},
		"unknown":                 {[]string{`task.deleted {"id":"t-2","previousStatus":"pending","previousAssignment":null}`}, "task t-2 was never created"},
		"deleted":                 {[]string{`task.deleted {"id":"t-3","previousStatus":"pending","previousAssignment":null}`, claimT3("w1", 1, 2)}, "task t-3 was deleted before"},
		"wrong previous priority": {[]string{`task.updated {"id":"t-3","changes":{"priority":1},"previousPriority":9,"status":"pending"}`}, "priority of task t-3 was 9, but it was 50"},
		"terms":                   {[]string{electW1, electW1}, "term 1 is not higher than the last term, 1"},
		"registered before":       {[]string{registerW1}, "the event says that w1 was not registered, but it was"},
		"gone before":             {[]string{`instance.failed {"id":"w8","roles":[],"tasksReassigned":0}`}, "w8 is not registered"},
		"tasks of the dead":       {[]string{`instance.failed {"id":"w1","roles":["worker"],"tasksReassigned":2}`}, "2 tasks were taken from w1, but it had 0"},
		"no payload":              {[]string{`leader.elected []`}, "it cannot be decoded"},
		"a type from later":       {[]string{`task.rewound {}`}, "a newer version of the program wrote it"},
		"flush":                   {[]string{`system.flushed {"redis":1,"timestamp":"x","firstSeq":1,"lastSeq":3}`, registerW1}, ""},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			_, told := story(t, 1, 1, append(append([]string{}, begin...), c.lines...)...)
			if c.told == "" && len(told) > 0 {
				t.Errorf("told %q", told)
			}
			if c.told != "" && (len(told) == 0 || !strings.Contains(strings.Join(told, "\n"), c.told)) {
				t.Errorf("did not tell %q but %q", c.told, told)
			}
		})
	}
}

func TestFoldHoldsRolesAgainstTasks(t *testing.T) {
	t.Parallel()
	_, told := story(t, 1, 1, registerW1, electW1, createGPU, claimT3("w1", 1, 1))
	if len(told) != 1 || !strings.Contains(told[0], `task t-3 requires roles ["gpu"], but w1 has ["worker"]`) {
		t.Errorf("told %q", told)
	}
}

func TestFoldKeepsTheLogsOrder(t *testing.T) {
	t.Parallel()
	var told []string
	f := fold.New(1, func(violation string) { told = append(told, violation) })
	for _, id := range []events.ID{{MS: 5, Seq: 1}, {MS: 4, Seq: 2}, {MS: 6, Seq: 4}, {MS: 6, Seq: 4}} {
		f.Apply(events.Envelope{ID: id, Seq: id.Seq, Timestamp: id.MS, Type: events.TypeCircuitOpened, V: 1})
	}
	for i, part := range []string{"4-2 is earlier than 5-1", "events with seq 3 to 3 are missing", "6-4 is found instead of seq 5"} {
		if i >= len(told) || !strings.Contains(told[i], part) {
			t.Errorf("did not tell %q but %q", part, told)
		}
	}
}

// Objects from before a trimmed log are assumed to be as the events imply.
func TestFoldOfATrimmedLogIsLenient(t *testing.T) {
	t.Parallel()
	f, told := story(t, 100, 100,
		`instance.registered {"id":"w1","roles":["a"],"metadata":null,"sessionId":null,"resumed":false,"previousRoles":["b"]}`,
		`task.claimed {"taskId":"t-7","workerId":"w1","attempt":3,"previousStatus":"pending","waited":99999}`,
		`task.completed {"id":"t-7","workerId":"w1","attempt":3,"duration":1,"result":null,"previousStatus":"in_progress"}`,
		`task.assigned {"taskId":"t-8","instanceId":"w1","previousAssignment":"w5","reason":"rebalanced","previousStatus":"pending"}`,
		`task.unassigned {"taskId":"t-9","instanceId":"w6","previousAssignment":"w6","reason":"instance_failed","previousStatus":"in_progress"}`,
		`instance.failed {"id":"w4","roles":["a"],"tasksReassigned":5}`,
		`task.updated {"id":"t-10","changes":{"text":"x"},"previousPriority":9,"status":"completed"}`,
		`task.deleted {"id":"t-11","previousStatus":"in_progress","previousAssignment":"w1"}`,
	)
	if len(told) > 0 {
		t.Errorf("told %q", told)
	}
	if f.Total() != 4 || f.Count(events.StatusCompleted) != 2 {
		t.Errorf("%d tasks, %d completed", f.Total(), f.Count(events.StatusCompleted))
	}
	_, told = story(t, 100, 101, registerW1)
	if len(told) != 1 || !strings.Contains(told[0], "events with seq 100 to 100 are missing") {
		t.Errorf("told %q", told)
	}
}

func TestTheSameEventsGiveTheSameFold(t *testing.T) {
	t.Parallel()
	lines := []string{registerW1, electW1, createT3, claimT3("w1", 1, 1), completeT3("w1", 1, 1)}
	f, told := story(t, 1, 1, lines...)
	if len(told) > 0 {
		t.Fatal(told)
	}
	task := slices.Collect(f.Tasks())[0]
	if task.Status != "completed" || task.Result != "[1]" || task.Attempt != 1 || task.Seq != 5 || task.ID() != "t-3" {
		t.Errorf("%+v", task)
	}
	if leader, term := f.Leader(); leader != "w1" || term != 1 {
		t.Errorf("leader %s, term %d", leader, term)
	}
	if i := slices.Collect(f.Instances())[0]; i.Status != "IDLE" || !i.Registered || !i.Worker || i.MaxTasks != 10 || f.Events() != 5 {
		t.Errorf("%+v", i)
	}
}
