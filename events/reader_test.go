package events

import (
	"context"
	"errors"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/redis/go-redis/v9"

	"github.com/claudebench/claudebench/internal/devstack"
	"github.com/claudebench/claudebench/internal/testenv"
)

func mustRead(t *testing.T, r *Reader, after ID) Batch {
	t.Helper()
	b, err := r.Read(testContext(t), after)
	if err != nil {
		t.Fatalf("read after %s: %v", after, err)
	}
	return b
}

func TestReadInBatches(t *testing.T) {
	t.Parallel()
	for name, client := range map[string]redis.UniversalClient{"redis": testenv.Client(t), "embedded": testenv.EmbeddedClient(t)} {
		t.Run(name, func(t *testing.T) {
			log := newTestLogOn(t, client, testenv.Namespace(t))
			want := log.add(TypeTaskCreated, 25)
			r := log.reader(ReaderConfig{BatchSize: 10})
			var got []ID
			var sizes []int
			for after := (ID{}); len(got) < len(want); {
				b := mustRead(t, r, after)
				if b.After != after || b.Skipped != 0 {
					t.Errorf("batch after %s, skipped %d", b.After, b.Skipped)
				}
				got, after = append(got, entryIDs(b.Entries)...), b.Last()
				sizes = append(sizes, len(b.Entries))
			}
			if diff := cmp.Diff(want, got); diff != "" {
				t.Error(diff)
			}
			if diff := cmp.Diff([]int{10, 10, 5}, sizes); diff != "" {
				t.Error(diff)
			}
		})
	}
}

func TestReadWaits(t *testing.T) {
	t.Parallel()
	for name, client := range map[string]redis.UniversalClient{"redis": testenv.Client(t), "embedded": testenv.EmbeddedClient(t)} {
		t.Run(name, func(t *testing.T) {
			log := newTestLogOn(t, client, testenv.Namespace(t))
			r := log.reader(ReaderConfig{})
			var after ID
			for i := range 3 { // the first event goes into an empty log
				read := make(chan Batch)
				go func() {
					b, err := r.Read(testContext(t), after)
					if err != nil {
						t.Error(err)
					}
					read <- b
				}()
				select {
				case b := <-read:
					t.Fatalf("gave %v while there was nothing", b)
				case <-time.After(150 * time.Millisecond): // longer than one Block
				}
				want := log.add(TypeTaskCreated, 1)
				b := <-read
				if diff := cmp.Diff(want, entryIDs(b.Entries)); diff != "" {
					t.Fatal(i, diff)
				}
				after = b.Last()
			}
		})
	}
}

func TestReadEndsWithItsContext(t *testing.T) {
	t.Parallel()
	log := newTestLog(t)
	ctx, cancel := context.WithTimeout(context.Background(), 50*time.Millisecond)
	defer cancel()
	if _, err := log.reader(ReaderConfig{Block: time.Minute}).Read(ctx, ID{}); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("got %v", err)
	}
}

func TestReadLingers(t *testing.T) {
	t.Parallel()
	log := newTestLog(t)
	r := log.reader(ReaderConfig{Linger: 300 * time.Millisecond})
	read := make(chan Batch)
	go func() {
		b, err := r.Read(testContext(t), ID{})
		if err != nil {
			t.Error(err)
		}
		read <- b
	}()
	log.add(TypeTaskCreated, 1)
	log.add(TypeTaskCreated, 1)
	b := <-read
	start := time.Now()
	log.add(TypeTaskCreated, 1)
	b = mustRead(t, r, b.Last())
	if took := time.Since(start); took < 200*time.Millisecond {
		t.Errorf("came back to the tail after %s", took)
	}
	if b.Last().Seq != 3 {
		t.Errorf("read up to %s", b.Last())
	}
}

func TestReadAfterRollback(t *testing.T) {
	t.Parallel()
	t.Run("tail gone", func(t *testing.T) {
		log := newTestLog(t)
		ids := log.add(TypeTaskCreated, 10)
		log.rollback(ids[5])
		wantRolledBack(t, log, ids[9], ids[5])
	})
	t.Run("tail gone and written anew", func(t *testing.T) {
		log := newTestLog(t)
		ids := log.add(TypeTaskCreated, 10)
		log.rollback(ids[5])
		newer := log.add(TypeTaskCreated, 10)
		wantRolledBack(t, log, ids[9], newer[9])
	})
	t.Run("everything gone", func(t *testing.T) {
		log := newTestLog(t)
		ids := log.add(TypeTaskCreated, 10)
		if err := log.client.Del(testContext(t), log.space.Events(), log.space.Log()).Err(); err != nil {
			t.Fatal(err)
		}
		wantRolledBack(t, log, ids[9], ID{})
	})
	t.Run("noticed while it waits", func(t *testing.T) {
		log := newTestLog(t)
		ids := log.add(TypeTaskCreated, 10)
		r := log.reader(ReaderConfig{})
		failed := make(chan error)
		go func() {
			_, err := r.Read(testContext(t), ids[9])
			failed <- err
		}()
		log.rollback(ids[5])
		var rb *RolledBackError
		if err := <-failed; !errors.As(err, &rb) {
			t.Errorf("got %v", err)
		}
	})
}

func wantRolledBack(t *testing.T, log *testLog, checkpoint, last ID) {
	t.Helper()
	_, err := log.reader(ReaderConfig{}).Read(testContext(t), checkpoint)
	var rb *RolledBackError
	if !errors.As(err, &rb) || !IsBroken(err) {
		t.Fatalf("got %v, want a RolledBackError", err)
	}
	if rb.Checkpoint != checkpoint || rb.LastInLog != last {
		t.Errorf("got %+v, want checkpoint %s and last %s", rb, checkpoint, last)
	}
}

func TestReadGap(t *testing.T) {
	t.Parallel()
	remove := func(log *testLog, id ID) {
		if err := log.client.XDel(testContext(t), log.space.Events(), id.String()).Err(); err != nil {
			t.Fatal(err)
		}
	}
	wantGap := func(log *testLog, after ID, expected int64, at ID) {
		t.Helper()
		_, err := log.reader(ReaderConfig{}).Read(testContext(t), after)
		var gap *GapError
		if !errors.As(err, &gap) || !IsBroken(err) {
			t.Fatalf("got %v, want a GapError", err)
		}
		if want := (&GapError{Expected: expected, Got: at.Seq, At: at}); *gap != *want {
			t.Errorf("got %+v, want %+v", gap, want)
		}
	}
	log := newTestLog(t)
	ids := log.add(TypeTaskCreated, 10)
	remove(log, ids[4])
	if b := mustRead(t, log.reader(ReaderConfig{}), ID{}); b.Last() != ids[3] {
		t.Errorf("read up to %s, want up to the gap, %s", b.Last(), ids[3])
	}
	wantGap(log, ids[3], 5, ids[5])
	remove(log, ids[0])
	wantGap(log, ID{}, 1, ids[1])

	// A gap below base is legal and a gap above it is not, whether the log was flushed or not.
	log.trim(ids[7])
	if b := mustRead(t, log.reader(ReaderConfig{}), ids[3]); b.Skipped != 3 || b.Entries[0].ID != ids[7] {
		t.Errorf("got %+v", b)
	}
	log.flush()
	newer := log.add(TypeTaskCreated, 3)
	remove(log, newer[0])
	wantGap(log, ids[9], 11, newer[1])
	wantGap(log, ids[3], 11, newer[1])
	wantGap(log, ID{}, 11, newer[1])
}

func TestReadAfterFlushAndTrim(t *testing.T) {
	t.Parallel()
	log := newTestLog(t)
	r := log.reader(ReaderConfig{})
	ids := log.add(TypeTaskCreated, 10)
	log.trim(ids[6])
	for after, skipped := range map[ID]int64{{}: 6, ids[2]: 3, ids[5]: 0, ids[7]: 0} {
		want := ids[max(6, after.Seq):]
		b := mustRead(t, r, after)
		if b.Skipped != skipped {
			t.Errorf("after %s: skipped %d, want %d", after, b.Skipped, skipped)
		}
		if diff := cmp.Diff(want, entryIDs(b.Entries)); diff != "" {
			t.Error(diff)
		}
	}
	log.flush()
	newer := log.add(TypeSystemFlushed, 1)
	for after, skipped := range map[ID]int64{{}: 10, ids[2]: 7, ids[9]: 0} {
		b := mustRead(t, r, after)
		if b.Skipped != skipped {
			t.Errorf("after %s: skipped %d, want %d", after, b.Skipped, skipped)
		}
		if diff := cmp.Diff(newer, entryIDs(b.Entries)); diff != "" {
			t.Error(diff)
		}
	}
}

func TestReadWhileFlushed(t *testing.T) {
	t.Parallel()
	log := newTestLog(t)
	ids := log.add(TypeTaskCreated, 10)
	ctx := testContext(t)
	// The first half of a flush: the entries are gone and base has not moved yet.
	if err := log.client.Unlink(ctx, log.space.Events()).Err(); err != nil {
		t.Fatal(err)
	}
	r := log.reader(ReaderConfig{Block: 20 * time.Millisecond})
	read := make(chan error)
	var b Batch
	go func() {
		var err error
		b, err = r.Read(ctx, ids[9])
		read <- err
	}()
	select {
	case err := <-read:
		t.Fatalf("did not wait for the flush: %v, %v", b, err)
	case <-time.After(100 * time.Millisecond): // several polls
	}
	log.flush()
	want := log.add(TypeSystemFlushed, 1)
	if err := <-read; err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(want, entryIDs(b.Entries)); diff != "" {
		t.Error(diff)
	}
}

func TestNewReaderRefuses(t *testing.T) {
	client := redis.NewClient(&redis.Options{})
	defer client.Close()
	cluster := redis.NewClusterClient(&redis.ClusterOptions{})
	defer cluster.Close()
	for name, c := range map[string]struct {
		client redis.UniversalClient
		config ReaderConfig
	}{
		"no client":                   {nil, ReaderConfig{}},
		"a cluster without namespace": {cluster, ReaderConfig{}},
		"a bad namespace":             {client, ReaderConfig{Namespace: "a:b"}},
		"a negative batch":            {client, ReaderConfig{BatchSize: -1}},
		"a block of nothing":          {client, ReaderConfig{Block: 1}},
		"a negative linger":           {client, ReaderConfig{Linger: -1}},
	} {
		if _, err := NewReader(c.client, c.config); err == nil {
			t.Errorf("%s was taken", name)
		}
	}
}

func TestReadWithoutTheLogsHash(t *testing.T) {
	t.Parallel()
	log := newTestLog(t)
	ids := log.add(TypeTaskCreated, 5)
	log.trim(ids[2])
	if err := log.client.Del(testContext(t), log.space.Log()).Err(); err != nil {
		t.Fatal(err)
	}
	for _, after := range []ID{{}, ids[2]} {
		b := mustRead(t, log.reader(ReaderConfig{}), after)
		if diff := cmp.Diff(ids[max(after.Seq, 2):], entryIDs(b.Entries)); diff != "" {
			t.Error(diff)
		}
	}
}

func TestReadFromCluster(t *testing.T) {
	t.Parallel()
	server := testenv.OwnRedis(t, devstack.RedisOptions{Extra: []string{"cluster-enabled yes"}})
	node := testenv.ClientOf(t, server)
	if err := node.ClusterAddSlotsRange(testContext(t), 0, 16383).Err(); err != nil {
		t.Fatal(err)
	}
	testenv.Eventually(t, wait, func() (bool, string) {
		info, err := node.ClusterInfo(testContext(t)).Result()
		return err == nil && strings.Contains(info, "cluster_state:ok"), info
	})
	client := redis.NewClusterClient(&redis.ClusterOptions{Addrs: []string{server.Addr()}, Password: server.Password()})
	t.Cleanup(func() {
		if err := client.Close(); err != nil {
			t.Error(err)
		}
	})
	log := newTestLogOn(t, client, testenv.Namespace(t))
	ids := log.add(TypeTaskCreated, 3)
	s := log.subscribe(t, All, SubscriberConfig{Name: "svc"})
	s.take(ids...)
	s.take(log.add(TypeTaskCreated, 3)...)
	group := log.group(t, "task.created", GroupSubscriberConfig{Group: "g"})
	group.take(ids...)
}

// A wait that ends with its context leaves the connection open.
func TestReadWithinKeepsItsConnection(t *testing.T) {
	t.Parallel()
	server := testenv.OwnRedis(t, devstack.RedisOptions{})
	c := redis.NewClient(&redis.Options{Addr: server.Addr(), Password: server.Password(), MaxRetries: -1, ContextTimeoutEnabled: true})
	t.Cleanup(func() { _ = c.Close() })
	r, err := NewReader(c, ReaderConfig{Block: time.Second})
	if err != nil {
		t.Fatal(err)
	}
	for range 10 {
		ctx, cancel := context.WithTimeout(t.Context(), 40*time.Millisecond)
		if _, err := r.Read(ctx, ID{}); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("read %v", err)
		}
		cancel()
	}
	if stats := c.PoolStats(); stats.Misses > 2 {
		t.Errorf("ten reads opened %d connections", stats.Misses)
	}
}

// late is a context whose deadline has passed without its own timer having noticed.
type late struct{ context.Context }

func (late) Deadline() (time.Time, bool) { return time.Now().Add(-time.Millisecond), true }

// A connection may notice before the context that the deadline has passed: its error is that of the
// context.
func TestTheDeadlineOfAReadIsThatOfItsContext(t *testing.T) {
	t.Parallel()
	r := &Reader{}
	if err := r.wrap(late{t.Context()}, ID{}, os.ErrDeadlineExceeded); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("after the deadline: %v", err)
	}
	gap := &GapError{Expected: 1, Got: 3}
	if err := r.wrap(late{t.Context()}, ID{}, gap); !errors.Is(err, gap) {
		t.Errorf("a gap: %v", err)
	}
	if err := r.wrap(t.Context(), ID{}, os.ErrDeadlineExceeded); errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("without a deadline: %v", err)
	}
}
