package events

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// subjectsOfGolden are the subjects of the golden events: task, then instances.
const subjectsOfGolden = `
batch.completed v1: "" ["worker-1"]
batch.progressed v1: "" ["worker-1"]
batch.started v1: "" ["worker-1"]
circuit.closed v1: "" []
circuit.opened v1: "" []
hook.compaction_finished v1: "" ["worker-1"]
hook.compaction_started v1: "" ["worker-1"]
hook.decided v1: "" ["worker-1"]
hook.notified v1: "" ["worker-1"]
hook.permission_denied v1: "" ["worker-1"]
hook.permission_requested v1: "" ["worker-1"]
hook.prompt_submitted v1: "" ["worker-1"]
hook.received v1: "" []
hook.session_ended v1: "" ["worker-1"]
hook.session_started v1: "" []
hook.stopped v1: "" ["worker-1"]
hook.subagent_started v1: "" ["worker-1"]
hook.subagent_stopped v1: "" ["worker-1"]
hook.task_completed v1: "" ["worker-1"]
hook.task_created v1: "" ["worker-1"]
hook.tool_finished v1: "" ["worker-1"]
hook.tool_requested v1: "" ["worker-1"]
instance.failed v1: "" ["worker-1"]
instance.registered v1: "" ["worker-1"]
instance.unregistered v1: "" ["worker-1"]
leader.elected v1: "" ["worker-2" "worker-1"]
limit.changed v1: "" []
limit.deleted v1: "" []
queue.paused v1: "" []
queue.resumed v1: "" []
quorum.decision.made v1: "" []
quorum.voted v1: "" ["worker-1"]
schedule.changed v1: "" []
schedule.deleted v1: "" []
schedule.fired v1: "t-43" []
system.flushed v1: "" []
task.assigned v1: "t-42" ["worker-2" "worker-1"]
task.assigned v2: "t-42" ["worker-2" "worker-1"]
task.blocked v1: "t-42" []
task.cancel_requested v1: "t-42" ["worker-1"]
task.cancelled v1: "t-42" ["worker-1"]
task.claimed v1: "t-42" ["worker-1"]
task.claimed v2: "t-42" ["worker-1"]
task.completed v1: "t-42" ["worker-1"]
task.created v1: "t-42" []
task.created v2: "t-42" []
task.deleted v1: "t-42" []
task.due v1: "t-42" []
task.failed v1: "t-42" ["worker-1"]
task.failed v2: "t-42" ["worker-1"]
task.progressed v1: "t-42" ["worker-1"]
task.retried v1: "t-42" ["worker-1"]
task.revived v1: "t-42" []
task.timed_out v1: "t-42" ["worker-1"]
task.unassigned v1: "t-42" ["worker-1"]
task.unassigned v2: "t-42" ["worker-1"]
task.unblocked v1: "t-42" []
task.updated v1: "t-42" []
task.updated v2: "t-42" []
todo.updated v1: "" ["worker-1"]
`

func TestSubjects(t *testing.T) {
	t.Parallel()
	files, err := filepath.Glob("testdata/*.json")
	if err != nil {
		t.Fatal(err)
	}
	var got strings.Builder
	got.WriteByte('\n')
	for _, file := range files {
		text, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		e, err := Decode(text)
		if err != nil {
			t.Fatal(err)
		}
		s := e.Subjects()
		fmt.Fprintf(&got, "%s v%d: %q %q\n", e.Type, e.V, s.Task, s.Instances)
	}
	if got.String() != subjectsOfGolden {
		t.Errorf("subjects:%s", got.String())
	}
}

func TestSubjectsOfAnyPayload(t *testing.T) {
	t.Parallel()
	for _, c := range []struct{ typ, payload, want string }{
		{"task.claimed", `{"taskId":"t-1","workerId":"w","previousAssignment":"w"}`, `{"t-1" ["w"]}`}, // no id twice
		{"task.claimed", `{"taskId":"t-1","workerId":"w","taskId":null}`, `{"t-1" ["w"]}`},
		{"task.created", `{"metadata":{"id":"t-2","assignedTo":"x"},"id":"t-1","assignedTo":null}`, `{"t-1" []}`},
		{"task.completed", `{"id":"t-1","workerId":"\u0077\""}`, `{"t-1" ["w\""]}`},
		{"hook.of_the_future", `{"instanceId":"w"}`, `{"" ["w"]}`},
		{"task.of_the_future", `{"id":"t-1"}`, `{"" []}`},
		{"task.created", `[]`, `{"" []}`},
		{"task.created", `{}`, `{"" []}`},
		{"task.created", `{"id":7}`, `{"" []}`},
	} {
		if got := fmt.Sprintf("%q", (Envelope{Type: Type(c.typ), Payload: []byte(c.payload)}).Subjects()); got != c.want {
			t.Errorf("%s %s: %s, want %s", c.typ, c.payload, got, c.want)
		}
	}
}

// The index of events has two columns for instances.
func TestAnEventConcernsTwoInstancesAtMost(t *testing.T) {
	for typ, refs := range referencesOf {
		if len(refs.instances) > 2 {
			t.Errorf("%s concerns %v: the index of events has room for two", typ, refs.instances)
		}
	}
}

// Filters that select the same by the same list have the same text, whatever its order.
func TestFiltersHaveATextOfTheirOwn(t *testing.T) {
	t.Parallel()
	for list, want := range map[string]string{
		"*": "*", "task.*,*": "*", "task.failed, instance.*,task.failed": "instance.*,task.failed", "instance.*,instance.*": "instance.*",
	} {
		f, err := ParseFilter(list)
		if err != nil {
			t.Fatal(err)
		}
		again, err := ParseFilter(f.String())
		if err != nil || f.String() != want || again.String() != want {
			t.Errorf("%s: %s and %s, %v", list, f, again, err)
		}
	}
}
