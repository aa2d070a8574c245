package task_test

import (
	"encoding/json"
	"reflect"
	"strings"
	"testing"

	"github.com/claudebench/claudebench/commands"
	"github.com/claudebench/claudebench/internal/api"
	"github.com/claudebench/claudebench/internal/fleettest"
)

func sameJSON(t *testing.T, a, b json.RawMessage) bool {
	t.Helper()
	return reflect.DeepEqual(fleettest.Decoded[any](t, a), fleettest.Decoded[any](t, b))
}

// The data that is stored for the repetition of a call is short, even if texts of users are long.
// The answer is rebuilt from it, whatever happened to the task since.
func TestAnswersAreMadeAgain(t *testing.T) {
	fleettest.Everywhere(t, commands.Options{}, func(t *testing.T, f *fleettest.Fleet) {
		f.Register("w", `["worker"]`, `,"metadata":{"maxTasks":0}`)
		long := strings.Repeat("x", 500_000)
		create := `{"text":"long","metadata":{"long":"` + long + `"},"idempotencyKey":"k"}`
		created := f.OK("task.create", "%s", create)
		f.Create("y", "")
		claim := `{"workerId":"w","maxTasks":2,"idempotencyKey":"k"}`
		claimed := f.OK("task.claim", "%s", claim)
		keys, err := f.Client.Keys(t.Context(), f.Keys.Prefix()+"service:idempotency:*").Result() //nolint:forbidigo // nothing lists these
		if err != nil || len(keys) != 2 {
			t.Fatal(keys, err)
		}
		for _, key := range keys {
			if n := f.Client.StrLen(t.Context(), key).Val(); n > 1024 {
				t.Errorf("%s keeps %d bytes", key, n)
			}
		}
		again := func(when string) {
			t.Helper()
			before := f.Seq()
			if got := f.OK("task.create", "%s", create); string(got) != string(created) {
				t.Errorf("%s, create is answered %.300s", when, got)
			}
			if got := f.OK("task.claim", "%s", claim); string(got) != string(claimed) {
				t.Errorf("%s, claim is answered %.300s", when, got)
			}
			if f.Seq() != before {
				t.Errorf("%s, a repeat made events", when)
			}
		}
		again("at once")
		f.OK("task.complete", `{"id":%q,"workerId":"w","result":{"a":1}}`, fleettest.Decoded[api.Task](t, created).ID)
		again("after completion")

		// A repeated claim returns the current text and metadata of its tasks, and leaves out
		// deleted tasks.
		two := fleettest.Decoded[api.ClaimTaskResult](t, claimed)
		f.OK("task.update", `{"id":%q,"updates":{"text":"changed"}}`, two.Tasks[1].ID)
		f.OK("task.delete", `{"id":%q}`, two.Tasks[0].ID)
		got := fleettest.Decoded[api.ClaimTaskResult](t, f.OK("task.claim", "%s", claim))
		if len(got.Tasks) != 1 || got.TaskID != two.Tasks[1].ID || got.Task.Text != "changed" || got.Task.Attempt != 1 || got.Task.Status != "in_progress" {
			t.Errorf("after an update and a deletion: %+v", got)
		}
		f.OK("task.delete", `{"id":%q}`, two.Tasks[1].ID)
		if got := f.OK("task.claim", "%s", claim); string(got) != `{"claimed":false}` {
			t.Errorf("when all is deleted: %s", got)
		}
		if got := f.OK("task.create", "%s", create); string(got) != string(created) {
			t.Errorf("when it is deleted, create is answered %.300s", got)
		}
	})
}

// An answer that an older version stored as a whole is returned unchanged.
func TestAnswersKeptWholeAreReturned(t *testing.T) {
	fleettest.Everywhere(t, commands.Options{}, func(t *testing.T, f *fleettest.Fleet) {
		f.Register("w", `["worker"]`, "")
		for _, call := range [][2]string{
			{"task.create", `{"text":"x","idempotencyKey":"k"}`}, {"task.claim", `{"workerId":"w","idempotencyKey":"k"}`},
		} {
			method, params := call[0], call[1]
			answer := f.OK(method, "%s", params)
			keys, err := f.Client.Keys(t.Context(), f.Keys.Prefix()+"service:idempotency:*").Result() //nolint:forbidigo // nothing lists these
			if err != nil || len(keys) != 1 {
				t.Fatal(keys, err)
			}
			digest := f.Client.Get(t.Context(), keys[0]).Val()[:32]
			whole := strings.Replace(string(answer), `"text":"x"`, `"text":"as it was"`, 1)
			f.Put([]any{"SET", keys[0], digest + whole})
			if got := f.OK(method, "%s", params); string(got) != whole {
				t.Errorf("%s returns %s, want %s", method, got, whole)
			}
			f.Put([]any{"DEL", keys[0]})
		}
	})
}
