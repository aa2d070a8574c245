package events

import (
	"bytes"
	"errors"
	"strings"
	"testing"

	"github.com/redis/go-redis/v9"
)

// page reads entries from a fuzzer's text: one entry a line, as `ID field=value field=value`, with
// fields separated by tabs.
func page(text string) []redis.XMessage {
	var list []redis.XMessage
	for line := range strings.SplitSeq(text, "\n") {
		id, fields, _ := strings.Cut(line, " ")
		m := redis.XMessage{ID: id, Values: map[string]any{}}
		for field := range strings.SplitSeq(fields, "\t") {
			name, value, _ := strings.Cut(field, "=")
			m.Values[name] = value
		}
		list = append(list, m)
	}
	return list
}

// FuzzEntries walks over pages of arbitrary entries. Every entry is an event in its place, a
// foreign entry, or the end of the page because of a gap. The result is in order and without a gap,
// and every error is typed and deterministic.
func FuzzEntries(f *testing.F) {
	const one, two = `{"id":"5-1","seq":1,"type":"task.deleted","v":1,"timestamp":5,"actor":"a","cause":null,"trace":null,"payload":{"id":"t-1"}}`,
		`{"id":"5-2","seq":2,"type":"x.y","v":7,"timestamp":5,"actor":"a","cause":null,"trace":null,"payload":{}}`
	for _, golden := range goldens(f) {
		f.Add(int64(42), int64(0), "1767323045678-42 data="+string(golden))
	}
	for _, seed := range []string{
		"5-1 data=" + one + "\n5-2 data=" + two,
		"5-1 data=" + one + "\tmore=1\n5-0 data=" + two + "\n5-2 data=" + two,
		"5-1 data=" + one + "\n6-0 hello=world\n7-3 data=" + two,
		"5-1 data=?\n5-1 data=" + one,
		"5-1 data=" + one + "\n5-1 data=" + one + "\n9-3 data=\n9-9 data",
		"5-2 data=" + two + "\n18446744073709551615-18446744073709551615 x=y\n9223372036854775807-9223372036854775807 data={}\n*",
		"5-1 data=" + strings.Replace(one, `"seq":1`, `"seq":2`, 1) + "\n5-1 data=" + strings.Replace(one, `"v":1`, `"v":0`, 1),
		"5-1 data=" + strings.Replace(one, `{"id":"t-1"}`, strings.Repeat(`{"a":`, 5000)+"1"+strings.Repeat("}", 5000), 1),
	} {
		f.Add(int64(1), int64(0), seed)
		f.Add(int64(0), int64(2), seed)
	}
	f.Fuzz(func(t *testing.T, expected, floor int64, text string) {
		messages := page(text)
		w := walk{limit: 1000, expected: max(expected, 0), floor: max(floor, 0)}
		gap := w.take(messages)
		if len(messages) <= 1000 && gap == nil && len(w.batch.Entries)+len(w.foreign) != len(messages) {
			t.Fatalf("%d events and %d foreign entries of %d", len(w.batch.Entries), len(w.foreign), len(messages))
		}
		if gap != nil && !IsBroken(gap) {
			t.Fatalf("an error of another kind: %v", gap)
		}
		for _, f := range w.foreign {
			if !errors.Is(f.Reason, ErrMalformed) && !errors.Is(f.Reason, ErrInvalidID) {
				t.Fatalf("%s is foreign because of %v", f.EntryID, f.Reason)
			}
		}
		for i, e := range w.batch.Entries {
			if i > 0 {
				before := w.batch.Entries[i-1]
				if e.ID.Seq != before.ID.Seq+1 && (before.Err == nil || e.ID.Seq != before.ID.Seq) {
					t.Fatalf("%s follows %s", e.ID, before.ID)
				}
			}
			decodes(t, e)
		}
		for _, m := range messages {
			shared(t, m)
		}
	})
}

// decodes checks an entry's event against the contract of Decoded.
func decodes(t *testing.T, e Entry) {
	if e.Err != nil {
		if !errors.Is(e.Err, ErrMalformed) {
			t.Fatalf("%s: %v", e.ID, e.Err)
		}
		return
	}
	if e.Envelope.ID != e.ID || e.Envelope.Seq != e.ID.Seq || e.Envelope.Timestamp != e.ID.MS {
		t.Fatalf("entry %s holds event %s", e.ID, e.Envelope.ID)
	}
	payload, err := e.Envelope.Decoded()
	if err != nil {
		if !errors.Is(err, ErrMalformed) && !errors.Is(err, ErrUnknownType) && !errors.Is(err, ErrUnknownVersion) {
			t.Fatalf("%s: %v", e.ID, err)
		}
		if _, again := e.Envelope.Decoded(); again == nil || again.Error() != err.Error() {
			t.Fatalf("first %v, then %v", err, again)
		}
		return
	}
	if _, err := EncodePayload(payload); err != nil {
		t.Fatalf("a payload that decodes does not encode: %v", err)
	}
}

// shared checks what a member of a consumer group receives: events unchanged, and anything else
// marked as bad.
func shared(t *testing.T, m redis.XMessage) {
	got, err := Unmarshaller{}.Unmarshal(m.Values)
	if err != nil {
		t.Fatalf("an error ends the subscription: %v", err)
	}
	data, _ := m.Values["data"].(string)
	_, wrong := Decode([]byte(data))
	if bad := got.Metadata.Get(MetadataError) != ""; bad != (wrong != nil) {
		t.Fatalf("%q is marked bad: %t, but decodes: %v", data, bad, wrong)
	}
	if !bytes.Equal(got.Payload, []byte(data)) {
		t.Fatalf("given %q of %q", got.Payload, data)
	}
}
