package projections_test

import (
	"testing"

	"github.com/claudebench/claudebench/events"
	"github.com/claudebench/claudebench/internal/api"
	"github.com/claudebench/claudebench/internal/testenv"
)

// BenchmarkExecMode measures the cost of unnamed statements, which are used behind a pooler.
func BenchmarkExecMode(b *testing.B) {
	for _, mode := range []string{"cache_statement", "cache_describe"} {
		bundle := bundleOn(b, testenv.Client(b), testenv.Postgres(b)+"&default_query_exec_mode="+mode, testenv.Namespace(b))
		bundle.prepare(b)
		h := newHistory()
		many(h, 1000)
		if err := bundle.tasks.Apply(b.Context(), oneBatch(h.events)); err != nil {
			b.Fatal(err)
		}
		b.Run("list/"+mode, func(b *testing.B) {
			for b.Loop() {
				if _, err := bundle.tasks.List(b.Context(), api.TaskQuery{Limit: 10}); err != nil {
					b.Fatal(err)
				}
			}
		})
		b.Run("apply/"+mode, func(b *testing.B) {
			for b.Loop() {
				before := h.seq
				many(h, 10)
				batch := events.Batch{After: h.events[before-1].ID}
				for _, e := range h.events[before:] {
					batch.Entries = append(batch.Entries, events.Entry{ID: e.ID, Envelope: e})
				}
				if err := bundle.tasks.Apply(b.Context(), batch); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
