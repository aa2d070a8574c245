package events

import (
	"fmt"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestForeignAndBadEntries(t *testing.T) {
	t.Parallel()
	log := newTestLog(t)
	var foreign []string
	r := log.reader(ReaderConfig{BatchSize: 1, OnForeign: func(f ForeignEntry) {
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
	log.raw(id, "data", string(mustEncode(t, want[0]))) // a copy of an event
	strangers = append(strangers, id)
	want = append(want, log.add(TypeTaskCreated, 1)...)
	bad := log.bad()
	want = append(want, bad)
	want = append(want, log.add(TypeTaskCreated, 2)...)
	// An entry that guessed the next event's seq counts as a bad event and does not stop the
	// reader.
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

// A reader sees an entry at the tail at each round trip and must report it only once, even if its
// ID is one that no event can have.
func TestForeignEntriesAreToldOnce(t *testing.T) {
	t.Parallel()
	log := newTestLog(t)
	after := log.add(TypeTaskCreated, 1)[0]
	log.raw(fmt.Sprintf("%d-18446744073709551615", after.MS), "hello", "world")
	log.raw(fmt.Sprintf("%d-0", after.MS+1), "data", "{}")
	log.raw("9223372036854775808-7", "data", string(mustEncode(t, after)))
	log.raw("18446744073709551615-18446744073709551615", "", "")
	told := map[string]int{}
	r := log.reader(ReaderConfig{OnForeign: func(f ForeignEntry) { told[f.EntryID]++ }})
	for range 3 {
		if b, cursor, err := r.poll(testContext(t), after, 10); err != nil || len(b.Entries) != 0 || cursor != "18446744073709551615-18446744073709551615" {
			t.Fatalf("read %v up to %s, %v", b.Entries, cursor, err)
		}
	}
	if len(told) != 4 {
		t.Errorf("told of %v, want 4 entries", told)
	}
	for id, times := range told {
		if times != 1 {
			t.Errorf("%s was told %d times", id, times)
		}
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
