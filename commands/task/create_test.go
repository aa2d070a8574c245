package task_test

import (
	"encoding/json"
	"fmt"
	"strings"
	"sync"
	"testing"

	"golang.org/x/sync/errgroup"

	"github.com/claudebench/claudebench/commands"
	"github.com/claudebench/claudebench/internal/api"
	"github.com/claudebench/claudebench/internal/fleettest"
)

func TestCreate(t *testing.T) {
	fleettest.Everywhere(t, commands.Options{}, func(t *testing.T, f *fleettest.Fleet) {
		result, err := f.Call(t.Context(), api.Request{
			Method: "task.create", Params: json.RawMessage(`{"text":"a/b\\/ \"c\"\n\u0001<é>😀","priority":7,"metadata":{"k":[1.0]}}`),
			Caller: "token", Cause: `c"1`, Trace: "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01",
		})
		if err != nil {
			t.Fatal(err)
		}
		task := fleettest.Decoded[fleettest.Task](t, result)
		e := f.Emitted(0, "task.created")[0]
		if e.Seq != 1 || e.Actor != "token" || *e.Cause != `c"1` || *e.Trace != "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01" || e.V != 1 {
			t.Errorf("the envelope is %+v", e)
		}
		if string(result) != strings.TrimSuffix(string(e.Payload), "}")+`,"failures":0,"losses":0,"runAt":null,"errors":[],"created":true}` {
			t.Errorf("answered %s and emitted %s", result, e.Payload)
		}
		if task.Text != "a/b\\/ \"c\"\n\x01<é>😀" || task.ID != "t-1" || task.Status != "pending" || task.Priority != 7 ||
			string(task.Metadata) != `{"k":[1.0]}` || string(task.Result) != "null" || !fleettest.IsoMoment.MatchString(task.CreatedAt) {
			t.Errorf("answered %s", result)
		}
		if got := f.Get("t-1"); got.Text != task.Text {
			t.Errorf("task.get answers %q", got.Text)
		}
		if id := f.Create("next", ""); id != "t-2" || f.Get(id).Priority != 50 {
			t.Errorf("the second task is %+v", f.Get(id))
		}
	})
}

func TestCreateEnvelopeWithoutCaller(t *testing.T) {
	fleettest.Everywhere(t, commands.Options{}, func(t *testing.T, f *fleettest.Fleet) {
		if _, err := f.Call(t.Context(), api.Request{Method: "task.create", Params: json.RawMessage(`{"text":"x"}`)}); err != nil {
			t.Fatal(err)
		}
		if e := f.Emitted(0, "task.created")[0]; e.Actor != "anonymous" || e.Cause != nil || e.Trace != nil {
			t.Errorf("the envelope is %+v", e)
		}
	})
}

func TestCreateAgain(t *testing.T) {
	fleettest.Everywhere(t, commands.Options{}, func(t *testing.T, f *fleettest.Fleet) {
		first := f.OK("task.create", `{"text":"x","priority":3,"metadata":{"a":1,"b":{"c":2,"d":3}},"idempotencyKey":"k"}`)
		before := f.Seq()
		again := f.OK("task.create", `{"idempotencyKey":"k","metadata":{"b":{"d":3,"c":2},"a":1}, "priority":3, "text":"x"}`)
		if !sameJSON(t, first, again) || f.Seq() != before {
			t.Errorf("answered %s, then %s", first, again)
		}
		f.Refused(api.CodeConflict, `{"reason":"IDEMPOTENCY_KEY_REUSED"}`, "task.create", `{"text":"y","priority":3,"idempotencyKey":"k"}`)
		f.Register("w", `["worker"]`, "")
		f.Refused(api.CodeNotFound, `{"id":"t-99"}`, "task.complete", `{"id":"t-99","idempotencyKey":"k"}`) // each method has its own keys
		other, err := f.Call(t.Context(), api.Request{
			Method: "task.create", Params: json.RawMessage(`{"text":"y","idempotencyKey":"k"}`), Caller: "another",
		})
		if err != nil || fleettest.Decoded[fleettest.Task](t, other).Text != "y" { // and each caller, too
			t.Errorf("another caller's same key: %s, %v", other, err)
		}
	})
}

func TestCreateAtOnceWithOneKey(t *testing.T) {
	fleettest.Everywhere(t, commands.Options{}, func(t *testing.T, f *fleettest.Fleet) {
		coordinators := []*fleettest.Fleet{f, f.Beside()}
		var mu sync.Mutex
		answers := map[string]bool{}
		var g errgroup.Group
		for i := range 20 {
			g.Go(func() error {
				result, err := coordinators[i%2].Do("task.create", `{"text":"x","idempotencyKey":"k"}`)
				mu.Lock()
				defer mu.Unlock()
				answers[string(result)] = true
				return err
			})
		}
		if err := g.Wait(); err != nil {
			t.Fatal(err)
		}
		if len(answers) != 1 || f.Seq() != 1 {
			t.Errorf("%d answers, %d events", len(answers), f.Seq())
		}
	})
}

func TestCreateRoleSets(t *testing.T) {
	fleettest.Everywhere(t, commands.Options{}, func(t *testing.T, f *fleettest.Fleet) {
		for i := range 64 {
			f.Create("x", fmt.Sprintf(`,"metadata":{"roles":["r%d","a"]}`, i))
		}
		// The order of roles and duplicates do not make another set.
		f.Create("x", `,"metadata":{"roles":["a","r0","a"]}`)
		f.Refused(api.CodeConflict, `{"reason":"TOO_MANY_ROLE_SETS","limit":64}`, "task.create", `{"text":"x","metadata":{"roles":["r64"]}}`)
		f.Create("x", `,"metadata":{"roles":[]}`)
		f.OK("task.delete", `{"id":"t-2"}`)
		f.Create("x", `,"metadata":{"roles":["r64"]}`)
		f.OK("task.delete", `{"id":"t-1"}`) // another task still uses its set
		f.Refused(api.CodeConflict, `{"reason":"TOO_MANY_ROLE_SETS","limit":64}`, "task.create", `{"text":"x","metadata":{"roles":["r65"]}}`)
	})
}

// JSON of users comes back byte for byte from every command and event.
func TestMetadataByteForByte(t *testing.T) {
	fleettest.Everywhere(t, commands.Options{}, func(t *testing.T, f *fleettest.Fleet) {
		for i, metadata := range []string{
			`{}`,
			`{"a":[],"b":{},"c":[[],{}],"d":null,"e":""}`,
			`{"big":12345678901234567890123,"small":-0.0,"one":1.0,"exp":1e300,"precise":0.12345678901234567890}`,
			`{"text":"\u00e9\u0001\ud83d\ude00 é😀 \/ \" \\ \n","\u0061":1}`,
			`{"x":"` + strings.Repeat("ab/", 3_000) + `"}`,
			`{"n":` + strings.Repeat(`[`, 50) + strings.Repeat(`]`, 50) + `}`,
		} {
			id := f.Create("x", `,"metadata":`+metadata)
			worker := fmt.Sprintf("w%d", i)
			f.Register(worker, `["worker"]`, `,"metadata":`+metadata)
			if got := f.Hash(f.Keys.Instance(worker))["metadata"]; got != metadata {
				t.Errorf("the instance has %.200s", got)
			}
			claim := fleettest.Decoded[fleettest.Claim](t, f.OK("task.claim", `{"workerId":%q}`, worker))
			if claim.TaskID != id || string(claim.Task.Metadata) != metadata || string(f.Get(id).Metadata) != metadata {
				t.Errorf("claimed %.200s, want %.200s", claim.Task.Metadata, metadata)
			}
			before := f.Seq()
			f.OK("task.complete", `{"id":%q,"result":%s,"error":[%s]}`, id, metadata, metadata)
			e := f.Emitted(before, "task.failed")[0]
			f.Holds(e, fmt.Sprintf(`{"result":%s,"error":[%s]}`, metadata, metadata))
			if done := f.Get(id); string(done.Result) != metadata || string(done.Error) != "["+metadata+"]" {
				t.Errorf("finished with %.200s, %.200s", done.Result, done.Error)
			}
		}
		f.OK("task.create", "{\"text\":\"x\",\"metadata\":{ \"a\" : [ 1.0 ,\n {} ] }}")
		last := f.Events()[f.Seq()-1]
		f.Holds(last, `{"metadata":{"a":[1.0,{}]}}`) // line breaks are removed, the rest is unchanged
	})
}
