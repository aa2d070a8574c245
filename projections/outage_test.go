package projections_test

import (
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/redis/go-redis/v9"

	"github.com/claudebench/claudebench/internal/devstack"
	"github.com/claudebench/claudebench/internal/testenv"
	"github.com/claudebench/claudebench/projections"
)

func TestPostgresGoesAndComesBack(t *testing.T) {
	t.Parallel()
	server := testenv.OwnPostgres(t)
	b := bundleOn(t, testenv.Client(t), server.URL(), testenv.Namespace(t))
	r, _ := b.start(t, "one")
	h, _, _, _ := day()
	b.publish(t, h.events...)
	b.caughtUp(t, h.seq)

	if err := server.Kill(); err != nil {
		t.Fatal(err)
	}
	before := h.seq
	many(h, 100)
	b.publish(t, h.events[before:]...)
	status(t, r, "tasks", func(s projections.Status) bool { return s.Error != "" && s.Lag == -1 })
	for _, name := range []string{"state", "metrics"} { // the others continue
		status(t, r, name, func(s projections.Status) bool { return s.Checkpoint.Seq == h.seq && s.Error == "" })
	}
	if err := server.Restart(t.Context()); err != nil {
		t.Fatal(err)
	}
	b.caughtUp(t, h.seq)
	status(t, r, "tasks", func(s projections.Status) bool { return s.Error == "" && s.Lag == 0 })
	if diff := cmp.Diff(h.wantedRows(), b.plainRows(t)); diff != "" {
		t.Errorf("rows (-want +got):\n%s", diff)
	}
}

// The database may start after the coordinator.
func TestPostgresComesLater(t *testing.T) {
	t.Parallel()
	server := testenv.OwnPostgres(t)
	if err := server.Kill(); err != nil {
		t.Fatal(err)
	}
	b := bundleOn(t, testenv.Client(t), server.URL(), testenv.Namespace(t))
	r, _ := b.start(t, "one")
	h, _, _, _ := day()
	b.publish(t, h.events...)
	status(t, r, "tasks", func(s projections.Status) bool { return s.Error != "" })
	if err := server.Restart(t.Context()); err != nil {
		t.Fatal(err)
	}
	b.caughtUp(t, h.seq)
}

func TestRedisGoesAndComesBack(t *testing.T) {
	t.Parallel()
	server := testenv.OwnRedis(t, devstack.RedisOptions{AppendOnly: true, AppendFsync: "always"})
	b := bundleOn(t, testenv.ClientOf(t, server), testenv.Postgres(t), testenv.Namespace(t))
	b.start(t, "one")
	h, _, _, _ := day()
	b.publish(t, h.events...)
	b.caughtUp(t, h.seq)
	if err := server.Kill(); err != nil {
		t.Fatal(err)
	}
	if err := server.Restart(t.Context()); err != nil {
		t.Fatal(err)
	}
	before := h.seq
	many(h, 100)
	b.publish(t, h.events[before:]...)
	b.caughtUp(t, h.seq)
	if diff := cmp.Diff(h.state(), b.state(t)); diff != "" {
		t.Errorf("state (-want +got):\n%s", diff)
	}
}

// Redis goes back by some events, as with an older append-only file; Postgres does not.
func TestARolledBackLogIsFoldedAnew(t *testing.T) {
	t.Parallel()
	for name, further := range map[string]int{"and is quiet": 0, "and grows again": 300} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			b := newBundle(t)
			r, _ := b.start(t, "one")
			h, _, _, _ := day()
			b.publish(t, h.events...)
			b.caughtUp(t, h.seq)
			backup := b.dump(t)

			kept := h.seq
			lost := newHistory()
			lost.seq, lost.now = h.seq, h.now
			many(lost, 100)
			b.publish(t, lost.events...)
			b.caughtUp(t, lost.seq)

			b.restore(t, backup)
			h.now += 5000
			many(h, further)
			b.publish(t, h.events[kept:]...)
			b.caughtUp(t, h.seq)
			status(t, r, "tasks", func(s projections.Status) bool { return s.Rebuilds == 1 && s.Error == "" })
			if diff := cmp.Diff(h.wantedRows(), b.plainRows(t)); diff != "" {
				t.Errorf("rows (-want +got):\n%s", diff)
			}
			if diff := cmp.Diff(h.state(), b.state(t)); diff != "" {
				t.Errorf("state (-want +got):\n%s", diff)
			}
		})
	}
}

// dump returns all keys of the namespace except the leases.
func (b *bundle) dump(t *testing.T) map[string]string {
	t.Helper()
	all := map[string]string{}
	for _, key := range b.keys(t, "*") {
		if b.client.TTL(t.Context(), key).Val() > 0 {
			continue
		}
		value, err := b.client.Dump(t.Context(), key).Result()
		if err != nil {
			t.Fatal(err)
		}
		all[key] = value
	}
	return all
}

// restore restores the namespace in one step.
func (b *bundle) restore(t *testing.T, backup map[string]string) {
	t.Helper()
	_, err := b.client.TxPipelined(t.Context(), func(p redis.Pipeliner) error {
		for key, value := range backup {
			p.RestoreReplace(t.Context(), key, 0, value)
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
}
