package projections_test

import (
	"fmt"
	"testing"

	"github.com/claudebench/claudebench/projections"
)

// BenchmarkRebuild folds a log of 200,000 events, one third each of created, claimed and completed,
// in two orders: the three events of a task together, or 20,000 tasks created, then claimed, then
// completed.
func BenchmarkRebuild(b *testing.B) {
	const tasks = 66_667
	for _, chunk := range []int{1, 20_000} {
		bu := newBundle(b)
		h := newHistory()
		for n := tasks; n > 0; n -= min(n, chunk) {
			many(h, min(n, chunk))
		}
		bu.publish(b, h.events...)
		r, err := projections.NewRunner(projections.RunnerConfig{
			Client: bu.client, Scripts: bu.scripts, Keys: bu.space, Projections: bu.all, Logger: quiet,
		})
		if err != nil {
			b.Fatal(err)
		}
		for _, p := range bu.all {
			b.Run(fmt.Sprintf("%s/%d", p.Name(), chunk), func(b *testing.B) {
				for b.Loop() {
					if err := r.Rebuild(b.Context(), p.Name()); err != nil {
						b.Fatal(err)
					}
				}
				b.ReportMetric(float64(h.seq)*float64(b.N)/b.Elapsed().Seconds(), "events/s")
			})
		}
	}
}
