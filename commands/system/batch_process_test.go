package system_test

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/claudebench/claudebench/commands"
	"github.com/claudebench/claudebench/commands/system"
	"github.com/claudebench/claudebench/internal/api"
	"github.com/claudebench/claudebench/internal/command"
	"github.com/claudebench/claudebench/internal/fleettest"
	"github.com/claudebench/claudebench/internal/jsontext"
)

// processOn processes the batch b as an instance.
func processOn(f *fleettest.Fleet, instance, items string) api.ProcessBatchResult {
	f.T.Helper()
	return fleettest.Decoded[api.ProcessBatchResult](f.T, f.OK("system.batch.process", `{"batchId":"b","instanceId":%q,"items":%s}`, instance, items))
}

// begunBatch returns the fencing token of a batch b that an instance has begun and left. One chunk
// of items became tasks for each number, before the coordinator died.
func begunBatch(f *fleettest.Fleet, t *testing.T, instance, items string, chunks ...int) string {
	t.Helper()
	c, p, tasks := batchCall(f, t, instance, items)
	digest, err := system.DigestOf(p.Items)
	if err != nil {
		t.Fatal(err)
	}
	reply, err := command.Run(t.Context(), c, system.CoordinateBatch, instance, system.CoordinateBatchArgs{
		Batch: "b", Instance: instance, Digest: digest, Total: len(p.Items),
	})
	if err != nil {
		t.Fatal(err)
	}
	token, done, answer, err := system.Taken(reply)
	if err != nil || answer != nil {
		t.Fatalf("the lock was not taken: %s, %v", answer, err)
	}
	for _, n := range chunks {
		if answer, err := system.ProcessChunk(t.Context(), c, p, token, done, tasks[4*done:4*(done+n)]); err != nil || answer != nil {
			t.Fatalf("a chunk: %s, %v", answer, err)
		}
		done += n
	}
	return token
}

func batchCall(f *fleettest.Fleet, t *testing.T, instance, items string) (*command.Call, *api.ProcessBatchParams, []any) {
	t.Helper()
	p := &api.ProcessBatchParams{BatchID: "b", InstanceID: api.ID(instance), Items: fleettest.Decoded[[]api.Value](t, json.RawMessage(items))}
	tasks, err := system.BatchTasks(nil, p)
	if err != nil {
		t.Fatal(err)
	}
	return command.NewCall(api.Request{Method: "system.batch.process"}, f.Method("system.batch.process"), api.Token{}, f.Scripts), p, tasks
}

// wantMade checks that each of n items has become one task, in order.
func wantMade(f *fleettest.Fleet, n int) {
	f.T.Helper()
	var got []string
	for _, e := range f.Events() {
		if e.Type == "task.created" {
			got = append(got, string(fleettest.Decoded[fleettest.Task](f.T, e.Payload).Metadata))
		}
	}
	want := make([]string, n)
	for i := range want {
		want[i] = fmt.Sprintf(`{"item":{"n":%d}}`, i)
	}
	if !slices.Equal(got, want) {
		f.T.Errorf("%d tasks were created, want one for each of %d items, in order: %.300q", len(got), n, got)
	}
}

func TestBatch(t *testing.T) {
	fleettest.Everywhere(t, commands.Options{}, func(t *testing.T, f *fleettest.Fleet) {
		f.Register("w", `[]`, "")
		items := `[{"text":"a/b","priority":70,"metadata":{"roles":["go"],"k":1.0}},"x/\u00e9",{"text":"plain"},null,{"n":[1.0,{}]},7]`
		before := f.Seq()
		first := processOn(f, "w", items)
		if first != (api.ProcessBatchResult{Processed: true, ProcessorID: "w", ItemsProcessed: 6, Total: 6}) {
			t.Errorf("answered %+v", first)
		}
		es := f.Emitted(before, "batch.started", "task.created", "task.created", "task.created", "task.created", "task.created",
			"task.created", "batch.progressed", "batch.completed")
		f.Holds(es[0], `{"batchId":"b","processorId":"w","itemsProcessed":0,"total":6}`)
		f.Holds(es[1], `{"text":"a/b","priority":70,"metadata":{"roles":["go"],"k":1.0},"status":"pending"}`)
		f.Holds(es[2], `{"text":"batch b item 2 of 6","priority":50,"metadata":{"item":"x/\u00e9"}}`)
		f.Holds(es[3], `{"text":"plain","priority":50,"metadata":null}`)
		f.Holds(es[4], `{"metadata":{"item":null}}`)
		f.Holds(es[5], `{"metadata":{"item":{"n":[1.0,{}]}}}`)
		f.Holds(es[6], `{"metadata":{"item":7}}`)
		f.Holds(es[7], `{"batchId":"b","processorId":"w","itemsProcessed":6,"total":6}`)
		f.Holds(es[8], `{"batchId":"b","processorId":"w","itemsProcessed":6,"total":6}`)
		if es[0].Actor != "w" || *es[8].Cause != "req-1" {
			t.Errorf("the envelopes are %+v, %+v", es[0], es[8])
		}
		// A finished batch returns the same result to any instance, whatever the order of members.
		f.Register("v", `[]`, "")
		before = f.Seq()
		same := strings.Replace(items, `"text":"a/b","priority":70`, `"priority":70, "text":"a\/b"`, 1)
		for _, instance := range []string{"w", "v"} {
			if again := processOn(f, instance, same); again != first {
				t.Errorf("%s is answered %+v", instance, again)
			}
		}
		if f.Seq() != before {
			t.Error("a finished batch emitted")
		}
		f.Refused(api.CodeConflict, `{"reason":"BATCH_ITEMS_DIFFER"}`, "system.batch.process", `{"batchId":"b","instanceId":"w","items":[1]}`)
		if f.Exists(f.Keys.Batch("b", "lock")) != 0 {
			t.Error("the lock is still there")
		}
		for _, part := range []string{"processor", "progress", "status"} {
			if left := f.Client.PTTL(t.Context(), f.Keys.Batch("b", part)).Val(); left < 6*24*time.Hour {
				t.Errorf("%s is kept for %s", part, left)
			}
		}
	})
}

func TestBatchIsRefusedWhole(t *testing.T) {
	fleettest.Everywhere(t, commands.Options{}, func(t *testing.T, f *fleettest.Fleet) {
		const method = "system.batch.process"
		f.Refused(api.CodeNotRegistered, `{"instanceId":"w"}`, method, `{"batchId":"b","instanceId":"w","items":[1]}`)
		f.Register("w", `[]`, "")
		for items, sentence := range map[string]string{
			`[]`:                              "items parameter must contain at least 1 items",
			fleettest.ItemsOf(10_001):         "items parameter must contain at most 10000 items, but contains 10001",
			`{}`:                              "items parameter must be an array",
			`[1,{"text":""}]`:                 "items parameter is not valid: item 1: text parameter must not be empty",
			`[1,{"text":"x","priority":101}]`: "items parameter is not valid: item 1: priority parameter must be an integer from 0 to 100",
			`[{"text":"x","metadata":[]}]`:    "items parameter is not valid: item 0: metadata parameter must be an object",
			`[{"text":"x","more":1}]`:         "items parameter is not valid: item 0: unknown parameter 'more'; the parameters are metadata, priority, text",
			`[{"text":5}]`:                    "items parameter is not valid: item 0: text parameter must be a string",
		} {
			f.Refused(api.CodeInvalidParams, string(jsontext.Quote(sentence)), method, `{"batchId":"b","instanceId":"w","items":%s}`, items)
		}
		var sets []string
		for i := range 65 {
			sets = append(sets, fmt.Sprintf(`{"text":"x","metadata":{"roles":["r%d"]}}`, i))
		}
		f.Refused(api.CodeInvalidParams, `"items parameter must require at most 64 different sets of roles, but requires 65"`, method,
			`{"batchId":"b","instanceId":"w","items":[%s]}`, strings.Join(sets, ","))
		if f.Exists(f.Keys.Batch("b", "status"), f.Keys.Batch("b", "lock")) != 0 {
			t.Error("a refused call left a batch")
		}
		// The chunk would need one set of roles too many, so it is refused. It succeeds once a set
		// is free.
		id := f.Create("x", `,"metadata":{"roles":["other"]}`)
		items := "[" + strings.Join(sets[:32], ",") + "," + strings.Join(sets[:18], ",") + "," + strings.Join(sets[32:64], ",") + "]"
		if got := processOn(f, "w", items); got != (api.ProcessBatchResult{ProcessorID: "w", ItemsProcessed: 50, Total: 82, Reason: "TOO_MANY_ROLE_SETS"}) {
			t.Errorf("65 sets: %+v", got)
		}
		if n, _ := f.Client.Get(t.Context(), f.Keys.Batch("b", "progress")).Int(); n != 50 {
			t.Errorf("%d items were processed", n)
		}
		f.OK("task.delete", `{"id":%q}`, id)
		if got := processOn(f, "w", items); got != (api.ProcessBatchResult{Processed: true, ProcessorID: "w", ItemsProcessed: 82, Total: 82}) {
			t.Errorf("answered %+v", got)
		}
	})
}

// A coordinator dies between two chunks. Other instances get in only after the lock expires, but
// the same instance does at once.
func TestBatchGoesOn(t *testing.T) {
	fleettest.Everywhere(t, commands.Options{}, func(t *testing.T, f *fleettest.Fleet) {
		f.Register("w", `[]`, "")
		f.Register("v", `[]`, "")
		items := fleettest.ItemsOf(120)
		begunBatch(f, t, "w", items, 50)
		before := f.Seq()
		if got := processOn(f, "v", items); got != (api.ProcessBatchResult{ProcessorID: "w", ItemsProcessed: 50, Total: 120}) || f.Seq() != before {
			t.Errorf("another is answered %+v", got)
		}
		f.Refused(api.CodeConflict, `{"reason":"BATCH_ITEMS_DIFFER"}`, "system.batch.process", `{"batchId":"b","instanceId":"v","items":[1]}`)
		if left := f.Client.PTTL(t.Context(), f.Keys.Batch("b", "lock")).Val(); left <= 0 || left > time.Minute {
			t.Errorf("the lock lasts %s", left)
		}
		if got := processOn(f.Beside(), "w", items); got != (api.ProcessBatchResult{Processed: true, ProcessorID: "w", ItemsProcessed: 120, Total: 120}) {
			t.Errorf("the same instance is answered %+v", got)
		}
		f.Holds(f.Since(before)[0], `{"batchId":"b","processorId":"w","itemsProcessed":50,"total":120}`)
		wantMade(f, 120)
	})
}

// After the lock has expired another instance continues, and the former token is worthless.
func TestBatchIsTakenOver(t *testing.T) {
	fleettest.Everywhere(t, commands.Options{}, func(t *testing.T, f *fleettest.Fleet) {
		f.Register("w", `[]`, "")
		f.Register("v", `[]`, "")
		items := fleettest.ItemsOf(170)
		token := begunBatch(f, t, "w", items, 50, 50)
		f.Put([]any{"DEL", f.Keys.Batch("b", "lock")}) // the lock expires after a minute
		newer := begunBatch(f, t, "v", items, 50)
		c, p, tasks := batchCall(f, t, "w", items)
		before := f.Seq()
		for _, at := range []int{100, 150} {
			answer, err := system.ProcessChunk(t.Context(), c, p, token, at, tasks[4*at:4*at+4])
			if err != nil || string(answer) != `{"processed":false,"processorId":"v","itemsProcessed":150,"total":170}` {
				t.Errorf("the one before is answered %s, %v", answer, err)
			}
		}
		if answer, err := system.ProcessChunk(t.Context(), c, p, newer, 100, tasks[400:404]); err != nil || answer == nil { // these items are done already
			t.Errorf("a chunk that was done is answered %s, %v", answer, err)
		}
		if f.Seq() != before {
			t.Error("a refused chunk emitted")
		}
		if got := processOn(f, "v", items); got != (api.ProcessBatchResult{Processed: true, ProcessorID: "v", ItemsProcessed: 170, Total: 170}) {
			t.Errorf("answered %+v", got)
		}
		answer, err := system.ProcessChunk(t.Context(), c, p, token, 100, tasks[400:404])
		if err != nil || string(answer) != `{"processed":true,"processorId":"v","itemsProcessed":170,"total":170}` {
			t.Errorf("after the end the one before is answered %s, %v", answer, err)
		}
		wantMade(f, 170)
	})
}

func TestBatchAtOnce(t *testing.T) {
	fleettest.Everywhere(t, commands.Options{}, func(t *testing.T, f *fleettest.Fleet) {
		coordinators := []*fleettest.Fleet{f, f.Beside()}
		instances := []string{"w", "w", "v", "u"}
		for _, id := range instances[1:] {
			f.Register(id, `[]`, "")
		}
		items := fleettest.ItemsOf(300)
		var mu sync.Mutex
		done := map[string]bool{}
		var g errgroup.Group
		for i, instance := range instances {
			g.Go(func() error {
				result, err := coordinators[i%2].Do("system.batch.process", fmt.Sprintf(`{"batchId":"b","instanceId":%q,"items":%s}`, instance, items))
				mu.Lock()
				defer mu.Unlock()
				if strings.HasPrefix(string(result), `{"processed":true`) {
					done[string(result)] = true
				}
				return err
			})
		}
		if err := g.Wait(); err != nil {
			t.Fatal(err)
		}
		if len(done) != 1 {
			t.Errorf("finished with %v", done)
		}
		wantMade(f, 300)
	})
}

// The end of a call's time is no failure: the result is the progress, and the next call continues.
func TestBatchRunsOutOfTime(t *testing.T) {
	fleettest.Everywhere(t, commands.Options{}, func(t *testing.T, f *fleettest.Fleet) {
		f.Register("w", `[]`, "")
		items := fleettest.ItemsOf(101)
		m := f.Method("system.batch.process")
		whole := m.Timeout
		m.Timeout = system.BatchReserve // enough time for one chunk only
		if got := processOn(f, "w", items); got != (api.ProcessBatchResult{ProcessorID: "w", ItemsProcessed: 50, Total: 101}) {
			t.Errorf("answered %+v", got)
		}
		m.Timeout = whole
		if got := processOn(f, "w", items); got != (api.ProcessBatchResult{Processed: true, ProcessorID: "w", ItemsProcessed: 101, Total: 101}) {
			t.Errorf("answered %+v", got)
		}
		wantMade(f, 101)
	})
}

// A flush removes an unfinished batch. A call that still processes it gets an error.
func TestBatchThatIsGone(t *testing.T) {
	fleettest.Everywhere(t, commands.Options{}, func(t *testing.T, f *fleettest.Fleet) {
		f.Register("w", `[]`, "")
		items := fleettest.ItemsOf(60)
		token := begunBatch(f, t, "w", items, 50)
		f.Flush(fleettest.Confirmed)
		c, p, tasks := batchCall(f, t, "w", items)
		answer, err := system.ProcessChunk(t.Context(), c, p, token, 50, tasks[200:])
		if err == nil || !strings.Contains(err.Error(), `NOT_FOUND {"id":"b"}`) {
			t.Errorf("answered %s, %v", answer, err)
		}
	})
}

func TestBatchBelongsToTokens(t *testing.T) {
	fleettest.Everywhere(t, commands.Options{Tokens: fleettest.FleetTokens()}, func(t *testing.T, f *fleettest.Fleet) {
		f.May("alice", "system.register", `{"id":"w","roles":[]}`)
		needed := "the token that registered instance w"
		f.MayNot("bob", needed, "system.batch.process", `{"batchId":"b","instanceId":"w","items":[1]}`)
		f.MayNot("bob", needed, "system.quorum.vote", `{"instanceId":"w","decision":"d","value":1}`)
		f.MayNot("north", "north:", "system.batch.process", `{"batchId":"b","instanceId":"w","items":[1]}`)
		f.MayNot("north", "north:", "system.quorum.vote", `{"instanceId":"w","decision":"d","value":1}`)
		before := f.Seq()
		f.May("alice", "system.batch.process", `{"batchId":"b","instanceId":"w","items":[1]}`)
		f.May("alice", "system.quorum.vote", `{"instanceId":"w","decision":"d","value":1}`)
		id := fleettest.Decoded[fleettest.Task](t, f.Since(before)[1].Payload).ID
		f.MayNot("bob", "the token that created task "+id, "task.delete", `{"id":%q}`, id)
		f.May("alice", "task.delete", `{"id":%q}`, id)
	})
}
