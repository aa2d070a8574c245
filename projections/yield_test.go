package projections_test

import (
	"testing"

	"github.com/claudebench/claudebench/internal/testenv"
	"github.com/claudebench/claudebench/projections"
)

// If only this coordinator cannot reach Postgres, it leaves the view to one that can.
func TestACoordinatorThatCannotReachTheStoreYields(t *testing.T) {
	t.Parallel()
	good := newBundle(t)
	bad := bundleOn(t, testenv.Client(t), "postgres://nobody@127.0.0.1:1/nothing", good.namespace)
	h, _, _, _ := day()
	good.publish(t, h.events...)
	first, _ := bad.start(t, "cannot")
	status(t, first, "tasks", func(s projections.Status) bool { return s.Holder && s.Error != "" })
	second, _ := good.start(t, "can")
	status(t, second, "tasks", func(s projections.Status) bool { return s.Holder && s.Checkpoint.Seq == h.seq })
	// The second coordinator now reports the view's state.
	status(t, first, "tasks", func(s projections.Status) bool { return !s.Holder && s.FailingSince.IsZero() })
}
