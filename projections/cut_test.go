package projections_test

import (
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"github.com/claudebench/claudebench/events"
	"github.com/claudebench/claudebench/internal/testenv"
	"github.com/claudebench/claudebench/projections"
)

// newest returns the last n tasks with a status, the oldest first.
func (h *history) newest(n int, status string) []string {
	var ids []string
	for _, id := range slices.Backward(h.ids) {
		if len(ids) == n {
			break
		}
		if h.tasks[id].status == status {
			ids = append(ids, id)
		}
	}
	slices.Reverse(ids)
	return ids
}

func (h *history) createMany(n int, metadata string) {
	for i := range n {
		h.create(fmt.Sprint("one of many ", i), int64(i%101), metadata)
	}
}

func (h *history) claimMany(n int, worker string) {
	for _, id := range h.newest(n, events.StatusPending) {
		h.claim(id, worker)
	}
}

// finishMany fails each third task.
func (h *history) finishMany(n int, result string) {
	for i, id := range h.newest(n, events.StatusInProgress) {
		failure := ""
		if i%3 == 2 {
			failure = `{"why":1.0}`
		}
		h.finish(id, result, failure)
	}
}

// joined joins batches as the runner does while the log is busy. size returns how many batches the
// next one is made of.
func joined(parts []events.Batch, size func() int) []events.Batch {
	var all []events.Batch
	for len(parts) > 0 {
		n := min(len(parts), size())
		all = append(all, projections.Gathered(parts[:n]))
		parts = parts[n:]
	}
	return all
}

// comesOut compares the views with those of another bundle and with the model.
func (b *bundle) comesOut(t testing.TB, h *history, as views, failed func(format string, args ...any)) {
	t.Helper()
	if diff := cmp.Diff(as, b.views(t)); diff != "" {
		failed("cut into batches it comes out otherwise (-whole +cut):\n%s", diff)
	}
	if diff := cmp.Diff(h.state(), b.state(t)); diff != "" {
		failed("state (-model +got):\n%s", diff)
	}
	if diff := cmp.Diff(h.wantedRows(), b.plainRows(t)); diff != "" {
		failed("rows (-model +got):\n%s", diff)
	}
	counters := slices.DeleteFunc(slices.Collect(maps.Keys(b.metrics(t, "scaling"))), func(field string) bool {
		return len(field) < 8 || field[:8] != "claimed."
	})
	if len(counters) != len(h.instances) {
		failed("load is counted for %v, registered are %v", counters, h.instances)
	}
}

// Every split of a log into batches folds to the model's result: event by event, as one batch, or
// joined from smaller batches.
func TestBatchesOfAnySizeFoldToTheSame(t *testing.T) {
	t.Parallel()
	client, database := testenv.Client(t), testenv.Postgres(t)
	whole := bundleOn(t, client, database, testenv.Namespace(t))
	cut := bundleOn(t, client, database, testenv.Namespace(t))
	whole.prepare(t)
	cut.prepare(t)
	rapid.Check(t, func(rt *rapid.T) {
		for _, b := range []*bundle{whole, cut} {
			for _, p := range b.all {
				if err := p.Reset(t.Context(), 1); err != nil {
					rt.Fatal(err)
				}
			}
		}
		h := randomHistory(rt)
		whole.apply(t, oneBatch(h.events))
		widest := rapid.SampledFrom([]int{30, 30, 30, 30, 1, 5, len(h.events)}).Draw(rt, "widest")
		list := batches(events.ID{}, h.events, func() int { return rapid.IntRange(1, widest).Draw(rt, "size") })
		if rapid.Bool().Draw(rt, "joined") && widest > 1 {
			list = joined(list, func() int { return rapid.IntRange(1, len(list)).Draw(rt, "parts") })
		}
		for _, batch := range list {
			cut.apply(t, batch)
		}
		cut.comesOut(t, h, whole.views(t), rt.Fatalf)
	})
}

// A batch as large as the largest that the runner joins folds to the same result as its parts.
func TestTheWidestBatchFoldsToTheSame(t *testing.T) {
	t.Parallel()
	whole, cut := newBundle(t), newBundle(t)
	whole.prepare(t)
	cut.prepare(t)
	random := rand.New(rand.NewPCG(1, 2)) //nolint:gosec // a test's random source
	h := newHistory()
	workers := []string{"w1", "w:2", "w3"}
	for round := 0; len(h.events) < 19_000; round++ {
		worker := workers[round%len(workers)]
		h.now += random.Int64N(3000)
		h.register(worker, "worker", []string{"ops", "reviewer"}[random.IntN(2)])
		h.createMany(400, []string{"null", `{"a":1.0,"b":[2]}`}[random.IntN(2)])
		for range 5 {
			h.claimMany(100, worker)
		}
		for range 100 {
			switch id := h.ids[random.IntN(len(h.ids))]; random.IntN(4) {
			case 0:
				h.remove(id)
			case 1:
				if status := h.tasks[id].status; status == events.StatusPending || status == events.StatusInProgress {
					h.assign(id, workers[random.IntN(len(workers))])
				}
			default:
				h.update(id, events.TaskChanges{MetadataChanges: fmt.Appendf(nil, `{"a":{"n":%d},"k%d":null}`, round, random.IntN(5))})
			}
		}
		h.finishMany(350, `{"ok":1e2}`)
		if round == 1 || round%6 == 5 { // the first deletes the rows, the others leave them
			h.flush(round == 1)
		}
		if round%4 == 3 && h.instances[worker] != nil {
			h.leave(worker, round%8 == 7)
		}
	}
	parts := batches(events.ID{}, h.events, func() int { return 1 + random.IntN(40) })
	for _, batch := range parts {
		cut.apply(t, batch)
	}
	for _, batch := range joined(parts, func() int { return len(parts) }) {
		whole.apply(t, batch)
	}
	cut.comesOut(t, h, whole.views(t), t.Fatalf)
}
