package projections_test

import (
	"errors"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/claudebench/claudebench/events"
	"github.com/claudebench/claudebench/projections"
)

// A rebuild from a log that cannot restore everything is refused, and nothing is deleted.
func TestARebuildLooksBeforeItDeletes(t *testing.T) {
	t.Parallel()
	for name, damage := range map[string]func(t *testing.T, b *bundle, h *history) error{
		"trimmed": func(t *testing.T, b *bundle, _ *history) error {
			return b.client.XTrimMaxLen(t.Context(), b.space.Events(), 5).Err()
		},
		"trimmed, and the log's hash agrees": func(t *testing.T, b *bundle, h *history) error {
			return errors.Join(b.client.XTrimMaxLen(t.Context(), b.space.Events(), 5).Err(),
				b.client.HSet(t.Context(), b.space.Log(), "base", h.seq-4).Err())
		},
		"an event deleted": func(t *testing.T, b *bundle, h *history) error {
			return b.client.XDel(t.Context(), b.space.Events(), h.events[3].ID.String()).Err()
		},
		"the last event deleted": func(t *testing.T, b *bundle, h *history) error {
			return b.client.XDel(t.Context(), b.space.Events(), h.events[h.seq-1].ID.String()).Err()
		},
		"the whole stream deleted": func(t *testing.T, b *bundle, _ *history) error {
			return b.client.Del(t.Context(), b.space.Events()).Err()
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			b := newBundle(t)
			h, _, _, _ := day()
			b.publish(t, h.events...)
			r, stop := b.start(t, "one")
			b.caughtUp(t, h.seq)
			stop()
			before := b.views(t)
			if err := damage(t, b, h); err != nil {
				t.Fatal(err)
			}
			for _, p := range b.all {
				if p == b.events && name == "trimmed, and the log's hash agrees" {
					continue // it keeps what the log no longer has
				}
				if err := r.Rebuild(t.Context(), p.Name()); !errors.Is(err, projections.ErrIncompleteLog) {
					t.Errorf("rebuild %s: %v, want ErrIncompleteLog", p.Name(), err)
				}
			}
			if diff := cmp.Diff(before, b.views(t)); diff != "" {
				t.Errorf("the refused rebuild changed something (-before +after):\n%s", diff)
			}
		})
	}
}

// A rebuild finds an event of a later program before it deletes anything: a fold would stop there.
func TestARebuildDeletesNothingForALaterEvent(t *testing.T) {
	t.Parallel()
	b := newBundle(t)
	h, _, _, _ := day()
	b.publish(t, h.events...)
	r, stop := b.start(t, "one")
	b.caughtUp(t, h.seq)
	stop()
	before := b.views(t)
	h.create("later", 50, "null")
	last := &h.events[len(h.events)-1]
	last.Type = "task.imagined"
	b.publish(t, *last)
	for _, p := range b.all {
		if err := r.Rebuild(t.Context(), p.Name()); !errors.Is(err, events.ErrUnknownType) {
			t.Errorf("rebuild %s: %v, want ErrUnknownType", p.Name(), err)
		}
	}
	if diff := cmp.Diff(before, b.views(t)); diff != "" {
		t.Errorf("the refused rebuild changed something (-before +after):\n%s", diff)
	}
}
