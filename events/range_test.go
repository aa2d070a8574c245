package events

import (
	"errors"
	"fmt"
	"math"
	"testing"

	"github.com/google/go-cmp/cmp"
)

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
	if b, err := r.Bounds(testContext(t)); err != nil || b != (Bounds{Base: 1, Live: 1}) {
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
	// A gap is reported, and the remaining events follow.
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
	if b, err := r.Bounds(testContext(t)); err != nil || b != (Bounds{First: ids[15], Last: ids[22], Base: 16, Live: 16, Seq: 23}) {
		t.Errorf("got %+v, %v", b, err)
	}
}

// Locate finds each event by its seq, and behind a gap the next one, with entries of others between.
func TestLocate(t *testing.T) {
	t.Parallel()
	log := newTestLog(t)
	r := log.reader(ReaderConfig{})
	if id, err := r.Locate(testContext(t), 1); err != nil || !id.IsZero() {
		t.Errorf("an empty log gave %s, %v", id, err)
	}
	var ids []ID
	for range 5 {
		ids = append(ids, log.add(TypeTaskCreated, 9)...)
		log.raw(fmt.Sprintf("%d-0", ids[len(ids)-1].MS+1), "another", "program")
		log.last.MS++ // the next event comes after it
	}
	for _, id := range ids {
		if got, err := r.Locate(testContext(t), id.Seq); err != nil || got != id {
			t.Errorf("%d: got %s, want %s, %v", id.Seq, got, id, err)
		}
	}
	for seq, want := range map[int64]ID{-1: ids[0], 0: ids[0], 46: {}, math.MaxInt64: {}} {
		if got, err := r.Locate(testContext(t), seq); err != nil || got != want {
			t.Errorf("%d: got %s, want %s, %v", seq, got, want, err)
		}
	}
	if err := log.client.XDel(testContext(t), log.space.Events(), ids[20].String(), ids[21].String()).Err(); err != nil {
		t.Fatal(err)
	}
	if got, err := r.Locate(testContext(t), ids[20].Seq); err != nil || got != ids[22] {
		t.Errorf("in a gap: got %s, want %s, %v", got, ids[22], err)
	}
}
