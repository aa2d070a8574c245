package projections_test

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"github.com/claudebench/claudebench/internal/api"
	"github.com/claudebench/claudebench/internal/testenv"
)

// BenchmarkStories reads histories from an index of ten million events, and reports the median and
// the 99th percentile. It fills the index once, which takes a minute or more and 5 GB:
//
//	go test -run xxx -bench Stories -benchtime 1x -timeout 30m ./projections
//
// The instance "busy" has 100,000 events, spread over the whole log, and the task 1 has 1,000. Every
// ten thousandth event is a death or a vote.
func BenchmarkStories(b *testing.B) {
	const all, runs = 10_000_000, 300
	bu := bundleOn(b, testenv.Client(b), testenv.Postgres(b), testenv.Namespace(b))
	bu.prepare(b)
	for _, statement := range []string{
		`ALTER TABLE events SET UNLOGGED`,
		`DROP INDEX events_task, events_instance, events_other, events_rare`,
		fmt.Sprintf(`INSERT INTO events
SELECT s, 1700000000000 + s * 5, CASE WHEN s %% 10000 = 0 THEN 1 ELSE 2 + s / 4 END, 1,
       CASE WHEN s %% 10000 = 1 THEN 'instance.failed' WHEN s %% 10000 = 2 THEN 'quorum.voted'
            ELSE (ARRAY['task.created', 'task.claimed', 'task.completed', 'task.assigned'])[1 + s %% 4] END,
       CASE WHEN s %% 100 = 7 THEN 'busy' WHEN s %% 4 > 0 THEN 'worker-' || s * 7919 %% 5000 END,
       CASE WHEN s %% 40 = 3 THEN 'worker-' || s * 31 %% 5000 END,
       'team/worker-' || s * 7919 %% 5000, 'c-' || s, NULL,
       '{"id":"t-' || s || '","text":"some text of a usual length","status":"pending","priority":50,"assignedTo":null,"attempt":0,"metadata":{"source":"bench","line":17},'
       || '"createdAt":"2026-01-01T00:00:00.000Z","updatedAt":"2026-01-01T00:00:00.000Z"}'
FROM generate_series(1::bigint, %d) s`, all),
		`CREATE INDEX events_task     ON events (task, seq)     WHERE task IS NOT NULL`,
		`CREATE INDEX events_instance ON events (instance, seq) WHERE instance IS NOT NULL`,
		`CREATE INDEX events_other    ON events (other, seq)    WHERE other IS NOT NULL`,
		`CREATE INDEX events_rare     ON events (type, seq)     WHERE type NOT LIKE 'task.%' AND type NOT LIKE 'hook.%'`,
		`ANALYZE events`,
	} {
		if _, err := bu.db.Exec(b.Context(), statement); err != nil {
			b.Fatalf("%s: %v", statement, err)
		}
	}
	var table, indexes int64
	if err := bu.db.QueryRow(b.Context(), `SELECT pg_table_size('events'), pg_indexes_size('events')`).Scan(&table, &indexes); err != nil {
		b.Fatal(err)
	}
	b.Logf("%d bytes an event, of which %d are indexes", (table+indexes)/all, indexes/all)
	random := rand.New(rand.NewPCG(1, 2)) //nolint:gosec // a bench needs no secret
	for _, c := range []struct {
		name  string
		query func() api.EventQuery
	}{
		{"task of 4 events", func() api.EventQuery { return api.EventQuery{Task: 2 + random.Int64N(all/4)} }},
		{"task of 1000 events", func() api.EventQuery { return api.EventQuery{Task: 1} }},
		{"instance of 2000 events", func() api.EventQuery { return api.EventQuery{Instance: fmt.Sprintf("worker-%d", random.IntN(5000))} }},
		{"busy instance, first page", func() api.EventQuery { return api.EventQuery{Instance: "busy"} }},
		{"busy instance, a page between", func() api.EventQuery { return api.EventQuery{Instance: "busy", Cursor: random.Int64N(all)} }},
		{"busy instance, last page", func() api.EventQuery { return api.EventQuery{Instance: "busy", Cursor: all - 9000} }},
		{"busy instance, newest first", func() api.EventQuery { return api.EventQuery{Instance: "busy", Descending: true} }},
		{"nobody", func() api.EventQuery { return api.EventQuery{Instance: "nobody"} }},
		{"deaths of the last hour", func() api.EventQuery {
			return api.EventQuery{Types: []string{"instance.failed", "instance.registered"}, Since: 1_700_000_000_000 + all*5 - 3_600_000, Descending: true}
		}},
		{"votes, newest first", func() api.EventQuery { return api.EventQuery{Types: []string{"quorum.voted"}, Descending: true} }},
		{"all, since a time", func() api.EventQuery { return api.EventQuery{Since: 1_700_000_000_000 + random.Int64N(all*5)} }},
	} {
		for _, limit := range []int{100, 1000} {
			b.Run(fmt.Sprintf("%s/%d", c.name, limit), func(b *testing.B) {
				var took []time.Duration
				for b.Loop() {
					for range runs {
						q := c.query()
						q.Limit = limit
						began := time.Now()
						if _, err := bu.events.List(b.Context(), q); err != nil {
							b.Fatal(err)
						}
						took = append(took, time.Since(began))
					}
				}
				slices.Sort(took)
				b.ReportMetric(0, "ns/op")
				b.ReportMetric(float64(took[len(took)/2].Microseconds())/1000, "p50-ms")
				b.ReportMetric(float64(took[len(took)*99/100].Microseconds())/1000, "p99-ms")
			})
		}
	}
}
