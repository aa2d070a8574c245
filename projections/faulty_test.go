package projections_test

import (
	"context"
	"errors"
	"sync"
	"testing"

	"github.com/claudebench/claudebench/events"
	"github.com/claudebench/claudebench/projections"
)

// faulty is a projection in memory whose first attempts fail in chosen ways.
type faulty struct {
	mu     sync.Mutex
	at     events.ID
	seen   []int64
	faults []func() error
}

func (f *faulty) Name() string                  { return "faulty" }
func (f *faulty) Prepare(context.Context) error { return nil }

func (f *faulty) Checkpoint(context.Context) (events.ID, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.at, nil
}

func (f *faulty) Apply(_ context.Context, batch events.Batch) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	if batch.After != f.at {
		return projections.ErrCheckpointMoved
	}
	if len(f.faults) > 0 {
		fault := f.faults[0]
		f.faults = f.faults[1:]
		if err := fault(); err != nil {
			return err
		}
	}
	for _, entry := range batch.Entries {
		f.seen = append(f.seen, entry.ID.Seq)
	}
	f.at = batch.Last()
	return nil
}

func (f *faulty) Reset(context.Context, int64) error { return nil }

// Whatever happens to an attempt, the same batch comes again, and no event is lost or counted
// twice.
func TestNoEventIsSteppedOver(t *testing.T) {
	t.Parallel()
	b := newBundle(t)
	f := &faulty{}
	for range 4 {
		f.faults = append(f.faults,
			func() error { panic("a fault of ours") },
			func() error { return errors.New("the store is away") },
			func() error { return projections.ErrCheckpointMoved })
	}
	b.all = []projections.Projection{f}
	h, _, _, _ := day()
	b.publish(t, h.events...)
	r, _ := b.start(t, "one")
	b.caughtUp(t, h.seq)
	status(t, r, "faulty", func(s projections.Status) bool { return s.Error == "" && s.Applied == h.seq })
	f.mu.Lock()
	defer f.mu.Unlock()
	for i, seq := range f.seen {
		if seq != int64(i+1) {
			t.Fatalf("events came as %v", f.seen)
		}
	}
}

func TestRunnerRefusesABadConfiguration(t *testing.T) {
	t.Parallel()
	b := newBundle(t)
	good := projections.RunnerConfig{Client: b.client, Scripts: b.scripts, Keys: b.space, Projections: b.all}
	for name, change := range map[string]func(*projections.RunnerConfig){
		"no client":  func(c *projections.RunnerConfig) { c.Client = nil },
		"no scripts": func(c *projections.RunnerConfig) { c.Scripts = nil },
		"twice":      func(c *projections.RunnerConfig) { c.Projections = []projections.Projection{b.tasks, b.tasks} },
	} {
		cfg := good
		change(&cfg)
		if _, err := projections.NewRunner(cfg); err == nil {
			t.Errorf("%s: no error", name)
		}
	}
	if _, err := projections.OpenPool(t.Context(), "postgres://host:port/", ""); err == nil {
		t.Error("a bad database URL is taken")
	}
}
