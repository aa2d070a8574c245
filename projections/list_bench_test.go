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

// BenchmarkListTasks reads pages of 100 tasks from a view of a million, and reports the median and the
// longest time. It fills the view once, which takes about a minute:
//
//	go test -run xxx -bench ListTasks -benchtime 1x -timeout 30m ./projections
//
// One task in 50 has failed, one in 1,000 is in progress, and all others are completed.
func BenchmarkListTasks(b *testing.B) {
	const all, runs = 1_000_000, 15
	bu := bundleOn(b, testenv.Client(b), testenv.Postgres(b), testenv.Namespace(b))
	bu.prepare(b)
	for _, statement := range []string{
		`ALTER TABLE tasks SET UNLOGGED`,
		fmt.Sprintf(`INSERT INTO tasks (num, id, status, priority, attempt, assigned_to, text, metadata, result, error, created_at, updated_at, completed_at, seq)
SELECT n, 't-' || n, CASE WHEN n %% 50 = 7 THEN 'failed' WHEN n %% 1000 = 1 THEN 'in_progress' ELSE 'completed' END, n %% 5 * 20, 1, 'worker-' || n %% 500,
       'Some text of a usual length, number ' || n, ('{"source":"bench","run":' || n / 1000 || ',"where":{"file":"a.go","line":' || n %% 900 || '}}')::json, '{"ok":true}',
       CASE WHEN n %% 50 = 7 THEN ('"exit status ' || n %% 7 || ': no space left on device"')::json END,
       to_timestamp(1700000000 + n / 10.0), to_timestamp(1700000030 + n / 10.0), to_timestamp(1700000030 + n / 10.0), n
FROM generate_series(1, %d) n`, all),
		`ANALYZE tasks`,
		`VACUUM tasks`,
	} {
		if _, err := bu.db.Exec(b.Context(), statement); err != nil {
			b.Fatalf("%s: %v", statement, err)
		}
	}
	random := rand.New(rand.NewPCG(1, 2)) //nolint:gosec // a bench needs no secret
	at := func(n int64) time.Time { return time.UnixMilli(1_700_000_000_000 + n*100) }
	metadata := api.TaskFilter{Metadata: api.Object(`{"where":{"line":17,"file":"a.go"}}`)}
	for _, c := range []struct {
		name  string
		query func() api.TaskQuery
	}{
		{"first page", func() api.TaskQuery { return api.TaskQuery{Descending: true} }},
		{"by offset, deep", func() api.TaskQuery { return api.TaskQuery{Descending: true, Offset: all - 1000} }},
		{"by cursor, anywhere", func() api.TaskQuery { return api.TaskQuery{Descending: true, Cursor: 1 + random.Int64N(all)} }},
		{"one status, by cursor", func() api.TaskQuery {
			return api.TaskQuery{TaskFilter: api.TaskFilter{Statuses: []string{"in_progress"}}, Cursor: 1 + random.Int64N(all)}
		}},
		{"two statuses, first page", func() api.TaskQuery {
			return api.TaskQuery{TaskFilter: api.TaskFilter{Statuses: []string{"failed", "in_progress"}}}
		}},
		{"two statuses, by cursor", func() api.TaskQuery {
			return api.TaskQuery{TaskFilter: api.TaskFilter{Statuses: []string{"failed", "in_progress"}}, Cursor: 1 + random.Int64N(all)}
		}},
		{"statuses that nothing has, by cursor", func() api.TaskQuery {
			return api.TaskQuery{TaskFilter: api.TaskFilter{Statuses: []string{"scheduled", "blocked"}}, Cursor: 1 + random.Int64N(all)}
		}},
		{"an instance, by cursor", func() api.TaskQuery {
			return api.TaskQuery{TaskFilter: api.TaskFilter{AssignedTo: "worker-7"}, Cursor: 1 + random.Int64N(all)}
		}},
		{"error, first page", func() api.TaskQuery { return api.TaskQuery{TaskFilter: api.TaskFilter{Error: "status 3"}} }},
		{"error of nothing, by cursor", func() api.TaskQuery { return api.TaskQuery{TaskFilter: api.TaskFilter{Error: "nothing"}, Cursor: 1} }},
		{"metadata, first page", func() api.TaskQuery { return api.TaskQuery{TaskFilter: metadata} }},
		{"metadata, by cursor", func() api.TaskQuery { return api.TaskQuery{TaskFilter: metadata, Cursor: 1 + random.Int64N(all/2)} }},
		{"text, first page", func() api.TaskQuery { return api.TaskQuery{TaskFilter: api.TaskFilter{Text: "Number 77"}} }},
		{"created in a minute, first page", func() api.TaskQuery {
			n := random.Int64N(all)
			return api.TaskQuery{TaskFilter: api.TaskFilter{CreatedAfter: at(n), CreatedBefore: at(n + 600)}}
		}},
		{"updated in the last minute, first page", func() api.TaskQuery {
			return api.TaskQuery{TaskFilter: api.TaskFilter{UpdatedAfter: at(all - 300)}, Descending: true}
		}},
		{"updated in the last minute, the oldest first", func() api.TaskQuery {
			return api.TaskQuery{TaskFilter: api.TaskFilter{UpdatedAfter: at(all - 300)}}
		}},
	} {
		b.Run(c.name, func(b *testing.B) {
			var took []time.Duration
			for b.Loop() {
				for range runs {
					q := c.query()
					q.Limit = 100
					began := time.Now()
					if _, err := bu.tasks.List(b.Context(), q); err != nil {
						b.Fatal(err)
					}
					took = append(took, time.Since(began))
				}
			}
			slices.Sort(took)
			b.ReportMetric(0, "ns/op")
			b.ReportMetric(float64(took[len(took)/2].Microseconds())/1000, "p50-ms")
			b.ReportMetric(float64(took[len(took)-1].Microseconds())/1000, "max-ms")
		})
	}
}
