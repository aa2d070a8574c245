package events

import (
	"context"
	"errors"
	"fmt"
	"math"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/redis/go-redis/v9"

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
			for i := range 3 { // the first time into an empty log
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

	// Below base a gap is lawful, above it is not, flushed or not.
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
	// The first half of a flush: entries gone, base not yet moved.
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

func TestForeignAndBadEntries(t *testing.T) {
	t.Parallel()
	log := newTestLog(t)
	var foreign []string
	r := log.reader(ReaderConfig{BatchSize: 3, OnForeign: func(f ForeignEntry) {
		if f.Reason == nil {
			t.Error("no reason")
		}
		foreign = append(foreign, f.EntryID)
	}})
	next := func() string { log.last.MS += 2; return fmt.Sprintf("%d-0", log.last.MS-1) }

	want := log.add(TypeTaskCreated, 2)
	var strangers []string
	for range 8 { // more than a whole page
		id := next()
		log.raw(id, "hello", "world")
		strangers = append(strangers, id)
	}
	id := next()
	log.raw(id, "data", string(mustEncode(t, want[0]))) // an event's copy
	strangers = append(strangers, id)
	want = append(want, log.add(TypeTaskCreated, 1)...)
	bad := log.bad()
	want = append(want, bad)
	want = append(want, log.add(TypeTaskCreated, 2)...)
	// One that guessed the seq of the event to come is taken for a bad event,
	// and stops nobody.
	log.last.MS++
	guess := ID{MS: log.last.MS, Seq: log.last.Seq + 1}
	log.raw(guess.String(), "data", "?")
	log.last.MS++
	want = append(want, guess)
	want = append(want, log.add(TypeTaskCreated, 1)...)

	var got []Entry
	after := ID{}
	for len(got) < len(want) {
		b := mustRead(t, r, after)
		got, after = append(got, b.Entries...), b.Last()
	}
	if diff := cmp.Diff(want, entryIDs(got)); diff != "" {
		t.Fatal(diff)
	}
	for _, e := range got {
		if (e.Err != nil) != (e.ID == bad || e.ID == guess) {
			t.Errorf("%s: %v", e.ID, e.Err)
		}
		if len(e.Raw) == 0 {
			t.Errorf("%s: nothing raw", e.ID)
		}
	}
	if diff := cmp.Diff(strangers, foreign); diff != "" {
		t.Error(diff)
	}
	last, err := r.Last(testContext(t))
	if err != nil || last != log.last {
		t.Errorf("last: %s, %v", last, err)
	}
	var ranged []ID
	for e, err := range r.Range(testContext(t), ID{}, ID{}) {
		if err != nil {
			t.Fatal(err)
		}
		ranged = append(ranged, e.ID)
	}
	if diff := cmp.Diff(want, ranged); diff != "" {
		t.Error(diff)
	}
}

func mustEncode(t *testing.T, id ID) []byte {
	t.Helper()
	data, err := Envelope{ID: id, Seq: id.Seq, Type: TypeTaskCreated, V: 1, Timestamp: id.MS, Payload: []byte("{}")}.Encode()
	if err != nil {
		t.Fatal(err)
	}
	return data
}

func TestRangeAndBounds(t *testing.T) {
	t.Parallel()
	log := newTestLog(t)
	r := log.reader(ReaderConfig{BatchSize: 4})
	collect := func(from, to ID) (got []ID, gaps []GapError) {
		t.Helper()
		for e, err := range r.Range(testContext(t), from, to) {
			var gap *GapError
			switch {
			case errors.As(err, &gap):
				gaps = append(gaps, *gap)
			case err != nil:
				t.Fatal(err)
			default:
				got = append(got, e.ID)
			}
		}
		return got, gaps
	}
	if got, gaps := collect(ID{}, ID{}); len(got)+len(gaps) != 0 {
		t.Errorf("an empty log gave %v, %v", got, gaps)
	}
	if b, err := r.Bounds(testContext(t)); err != nil || b != (Bounds{Base: 1}) {
		t.Errorf("got %+v, %v", b, err)
	}
	ids := log.add(TypeTaskCreated, 23)
	for _, c := range []struct {
		from, to ID
		want     []ID
	}{
		{ID{}, ID{}, ids},
		{ids[3], ids[16], ids[3:17]},
		{ID{}, ids[7], ids[:8]},
		{ids[22], ID{}, ids[22:]},
		{ID{MS: ids[0].MS}, ID{MS: ids[22].MS, Seq: math.MaxInt64}, ids},
	} {
		got, gaps := collect(c.from, c.to)
		if diff := cmp.Diff(c.want, got); diff != "" || gaps != nil {
			t.Errorf("%s to %s: %s, %v", c.from, c.to, diff, gaps)
		}
	}
	for e, err := range r.Range(testContext(t), ID{}, ID{}) {
		if err != nil {
			t.Fatal(err)
		}
		if e.ID == ids[5] {
			break
		}
	}
	// A gap is told, and the rest follows.
	if err := log.client.XDel(testContext(t), log.space.Events(), ids[10].String(), ids[0].String()).Err(); err != nil {
		t.Fatal(err)
	}
	got, gaps := collect(ID{}, ID{})
	if diff := cmp.Diff([]GapError{{1, 2, ids[1]}, {11, 12, ids[11]}}, gaps); diff != "" {
		t.Error(diff)
	}
	if len(got) != 21 {
		t.Errorf("%d events beside the gaps", len(got))
	}
	log.trim(ids[15])
	if b, err := r.Bounds(testContext(t)); err != nil || b != (Bounds{First: ids[15], Last: ids[22], Base: 16, Seq: 23}) {
		t.Errorf("got %+v, %v", b, err)
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

func BenchmarkReader(b *testing.B) {
	log := newTestLog(b)
	const events = 20000
	for range events / 1000 {
		log.add(TypeTaskCreated, 1000)
	}
	r := log.reader(ReaderConfig{})
	b.ResetTimer()
	read := 0
	for b.Loop() {
		for after := (ID{}); after.Seq < events; {
			batch, err := r.Read(context.Background(), after)
			if err != nil {
				b.Fatal(err)
			}
			read, after = read+len(batch.Entries), batch.Last()
		}
	}
	b.ReportMetric(float64(read)/b.Elapsed().Seconds(), "events/s")
}
