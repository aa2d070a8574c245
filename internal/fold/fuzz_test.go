package fold_test

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"github.com/claudebench/claudebench/events"
	"github.com/claudebench/claudebench/internal/fold"
)

// FuzzFold folds arbitrary events, given as lines `type payload`. Violations are reported, their
// number is bounded by the number of events, and the same events always give the same fold.
func FuzzFold(f *testing.F) {
	files, err := filepath.Glob("../../events/testdata/*.v1.json")
	if err != nil || len(files) == 0 {
		f.Fatalf("no golden files: %v", err)
	}
	for _, file := range files {
		data, err := os.ReadFile(file)
		if err != nil {
			f.Fatal(err)
		}
		e, err := events.Decode([]byte(strings.TrimSpace(string(data))))
		if err != nil {
			f.Fatal(err)
		}
		f.Add(int64(1), string(e.Type)+" "+string(e.Payload))
		f.Add(int64(9), string(e.Type)+" "+string(e.Payload)+"\n"+string(e.Type)+" {}\n"+string(e.Type)+" []")
	}
	day := []string{registerW1, electW1, createT3, assignT3("w1", "requested", "null"), claimT3("w1", 1, 2), unassignT3("w1", "in_progress"), claimT3("w2", 2, 0)}
	f.Add(int64(1), strings.Join(day, "\n"))
	f.Add(int64(7), strings.Join(append(day, completeT3("w2", 2, 1), completeT3("w2", 2, 1), registerW1, `instance.failed {"id":"w1","roles":["x"]}`), "\n"))
	f.Add(int64(1), strings.Join([]string{registerW1, createGPU, assignT3("w1", "rebalanced", `"w2"`), registerW1, `task.deleted {"id":"t-3"}`, createT3, `system.flushed {}`, unassignT3("w1", "x")}, "\n"))
	f.Fuzz(func(t *testing.T, base int64, text string) {
		first, told := retold(base, text)
		second, again := retold(base, text)
		if diff := cmp.Diff(told, again); diff != "" {
			t.Fatalf("told otherwise the second time: %s", diff)
		}
		if lines := strings.Count(text, "\n") + 1; len(told) > 10*lines {
			t.Fatalf("%d violations of %d events", len(told), lines)
		}
		unexported := cmpopts.IgnoreUnexported(fold.Task{}, fold.Instance{})
		if diff := cmp.Diff(slices.Collect(first.Tasks()), slices.Collect(second.Tasks()), unexported); diff != "" {
			t.Fatalf("other tasks the second time: %s", diff)
		}
		if diff := cmp.Diff(slices.Collect(first.Instances()), slices.Collect(second.Instances()), unexported); diff != "" {
			t.Fatalf("other instances the second time: %s", diff)
		}
		var open int64
		for task := range first.Tasks() {
			if task.Status == events.StatusPending {
				open++
			}
		}
		if got := first.Count(events.StatusPending); got != open {
			t.Fatalf("%d tasks are counted pending, and %d are", got, open)
		}
	})
}

// retold folds the lines that an envelope can hold.
func retold(base int64, text string) (*fold.Fold, []string) {
	var told []string
	f := fold.New(base, func(violation string) { told = append(told, violation) })
	seq := max(base, 1)
	for line := range strings.SplitSeq(text, "\n") {
		typ, payload, _ := strings.Cut(line, " ")
		id := events.ID{MS: 1_700_000_000_000 + seq%1000, Seq: seq}
		payload = strings.ReplaceAll(payload, "NOW", fmt.Sprint(id.MS))
		data, err := events.Envelope{ID: id, Seq: id.Seq, Type: events.Type(typ), V: 1, Timestamp: id.MS, Payload: []byte(payload)}.Encode()
		if err != nil {
			continue
		}
		if e, err := events.Decode(data); err == nil {
			f.Apply(e)
			seq++
		}
	}
	slices.Sort(told)
	return f, told
}
