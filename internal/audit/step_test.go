package audit_test

import (
	"context"
	"errors"
	"fmt"
	"testing"

	"github.com/claudebench/claudebench/internal/audit"
)

// Step is told how far a run is, often enough, and can end it.
func TestStep(t *testing.T) {
	t.Parallel()
	b := newBundle(t, true)
	const tasks = 1200
	for i := range tasks {
		b.create(t, i%100, "")
	}
	b.project(t)
	var doing []string
	last, folded, rows := audit.Position{}, 0, 0
	clean(t, b.verify(t, func(o *audit.Options) {
		o.Step = func(_ context.Context, p audit.Position) error {
			if p.Events-last.Events > 500 || p.Events < last.Events || p.Total != tasks {
				t.Errorf("a step from %+v to %+v", last, p)
			}
			switch {
			case p.Doing != last.Doing:
				doing = append(doing, p.Doing)
			case p.Doing == "comparing the views in Postgres":
				rows++
			case p.Events != last.Events:
				folded++
			}
			last = p
			return nil
		}
	}))
	if last.Events != tasks || folded < 2 || rows < 2 || len(doing) != 12 {
		t.Errorf("%d steps of the fold, %d of the rows, %q; at last %+v", folded, rows, doing, last)
	}
	enough := errors.New("enough")
	for _, at := range doing {
		_, err := audit.Verify(t.Context(), audit.Options{Redis: b.client, Keys: b.space, Postgres: b.pool, Step: func(_ context.Context, p audit.Position) error {
			if p.Doing == at {
				return fmt.Errorf("stop: %w", enough)
			}
			return nil
		}})
		if !errors.Is(err, enough) {
			t.Errorf("ended while %s: %v", at, err)
		}
	}
}

// A log whose tasks need more memory than allowed is not verified. Deleted tasks, and a flush, give
// the memory back.
func TestMaxBytes(t *testing.T) {
	t.Parallel()
	b := newBundle(t, false)
	long := fmt.Sprintf(`{"x":%q}`, "x")
	for len(long) < 50_000 {
		long = fmt.Sprintf(`{"x":%q}`, long)
	}
	var ids []string
	for range 20 {
		ids = append(ids, b.create(t, 1, long))
	}
	b.project(t)
	verify := func(bytes int64) error {
		_, err := audit.Verify(t.Context(), audit.Options{Redis: b.client, Keys: b.space, MaxBytes: bytes})
		return err
	}
	size := int64(20 * len(long))
	if err := verify(size / 2); !errors.Is(err, audit.ErrTooLarge) {
		t.Errorf("a log of %d bytes: %v", size, err)
	}
	if err := verify(size * 2); err != nil {
		t.Error(err)
	}
	for _, id := range ids[:15] {
		b.do(t, "task.delete", object{"id": id})
	}
	b.project(t)
	if err := verify(size / 2); err != nil {
		t.Errorf("after most tasks were deleted: %v", err)
	}
	b.do(t, "system.flush", object{"confirm": "FLUSH_ALL_DATA"})
	b.project(t)
	if err := verify(10_000); err != nil {
		t.Errorf("after a flush: %v", err)
	}
}
