package fold

import (
	"fmt"
	"os"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"github.com/claudebench/claudebench/events"
)

// crowd folds n tasks that are created, claimed and finished, of which every seventh is then deleted and
// every fifth is updated after its end. prepare is called before.
func crowd(t *testing.T, n int, prepare func(*Fold)) (*Fold, []string) {
	t.Helper()
	var told []string
	f := New(1, func(violation string) { told = append(told, violation) })
	t.Cleanup(f.Close)
	prepare(f)
	seq := int64(0)
	apply := func(typ events.Type, payload string, args ...any) {
		seq++
		version, _ := events.Version(typ)
		f.Apply(events.Envelope{ID: events.ID{MS: seq, Seq: seq}, Seq: seq, Timestamp: seq, Type: typ, V: version, Payload: fmt.Appendf(nil, payload, args...)})
	}
	apply(events.TypeInstanceRegistered, `{"id":"w1","roles":["worker"],"metadata":null,"sessionId":null,"resumed":false,"previousRoles":null}`)
	for i := range n {
		id := fmt.Sprintf("t-%d", seq+1)
		apply(events.TypeTaskCreated, `{"id":%q,"text":%q,"status":"pending","priority":50,"metadata":{"n":%d},"timeoutMs":1000,"retry":{"maxAttempts":3,"backoffMs":5,"factor":1.5,"maxBackoffMs":9,"jitter":0.5}}`, id, strings.Repeat("x", i%3000), i)
		apply(events.TypeTaskClaimed, `{"taskId":%q,"workerId":"w1","attempt":1,"previousStatus":"pending","waited":1,"timeoutAt":"2023-11-14T22:13:20.000Z"}`, id)
		if i%3 == 0 {
			apply(events.TypeTaskFailed, `{"id":%q,"workerId":"w1","attempt":1,"duration":1,"error":{"reason":"x"},"failures":1,"losses":0,"previousStatus":"in_progress"}`, id)
		} else {
			apply(events.TypeTaskCompleted, `{"id":%q,"workerId":"w1","attempt":1,"duration":1,"result":[%d],"previousStatus":"in_progress"}`, id, i)
		}
		switch {
		case i%7 == 0:
			status := "completed"
			if i%3 == 0 {
				status = "failed"
			}
			apply(events.TypeTaskDeleted, `{"id":%q,"previousStatus":%q,"previousAssignment":"w1"}`, id, status)
		case i%15 == 0:
			apply(events.TypeTaskRevived, `{"id":%q,"by":"x","previousStatus":"failed","status":"pending","attempt":1}`, id)
		case i%11 == 0:
			apply(events.TypeTaskCompleted, `{"id":%q,"workerId":"w1","attempt":1,"duration":2,"result":[%d],"previousStatus":"in_progress"}`, id, i)
		}
	}
	return f, told
}

// A finished task leaves memory, and the fold says the same as if it had not.
func TestFinishedTasksAreInAFile(t *testing.T) {
	t.Parallel()
	const n = 2000
	held, told := crowd(t, n, func(f *Fold) { f.ended.full = true })
	if len(held.tasks) < n/2 || held.ended.file != nil {
		t.Fatalf("%d tasks are in memory without a file", len(held.tasks))
	}
	f, again := crowd(t, n, func(f *Fold) { f.ended.spillAt = 1 << 10 })
	if len(told) == 0 || !slices.Equal(told, again) {
		t.Errorf("told %q, want %q", again, told)
	}
	if int64(len(f.tasks)) != f.Unfinished() || f.ended.file == nil || f.ended.written < n*100 {
		t.Errorf("%d tasks are in memory, and %d are open; %d bytes are in the file", len(f.tasks), f.Unfinished(), f.ended.written)
	}
	if f.Bytes()*4 > held.Bytes() {
		t.Errorf("%d bytes are counted, and %d without a file", f.Bytes(), held.Bytes())
	}
	hidden := cmpopts.IgnoreUnexported(Instance{})
	all := cmp.AllowUnexported(Task{})
	same := cmp.FilterPath(func(p cmp.Path) bool { return p.Last().String() == ".bytes" }, cmp.Ignore())
	if diff := cmp.Diff(slices.Collect(held.Tasks()), slices.Collect(f.Tasks()), hidden, all, same); diff != "" {
		t.Errorf("the tasks differ: %s", diff)
	}
	if f.Total() != held.Total() || f.Count("completed") != held.Count("completed") || f.Err() != nil {
		t.Errorf("%d tasks, want %d; %v", f.Total(), held.Total(), f.Err())
	}
	for task := range held.Tasks() {
		if got := f.Task(task.Num); got == nil || got.Text != task.Text || got.Status != task.Status {
			t.Fatalf("task %s is %+v", task.ID(), got)
		}
	}
	for num := int64(1); num <= f.Seq(); num++ {
		if f.Deleted(num) != held.Deleted(num) || f.Exists(num) != held.Exists(num) {
			t.Fatalf("task %d: deleted is %t, want %t", num, f.Deleted(num), held.Deleted(num))
		}
	}
}

// Without room for the file, the tasks stay in memory.
func TestFinishedTasksWithoutAFile(t *testing.T) {
	dir := t.TempDir()
	t.Setenv("TMPDIR", dir)
	if err := os.Remove(dir); err != nil {
		t.Fatal(err)
	}
	want, _ := crowd(t, 200, func(f *Fold) { f.ended.full = true })
	f, _ := crowd(t, 200, func(f *Fold) { f.ended.spillAt = 1 << 10 })
	if !f.ended.full || f.Total() != want.Total() || f.Err() != nil {
		t.Errorf("%d tasks, want %d; %v", f.Total(), want.Total(), f.Err())
	}
}
