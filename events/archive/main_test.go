package archive

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"

	"go.uber.org/goleak"

	"github.com/claudebench/claudebench/events"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// event returns the event with a seq: mostly a usual one, sometimes one that is malformed, has two
// lines, or has no data.
func event(seq int64) events.Entry {
	id := events.ID{MS: 1_700_000_000_000 + seq/3, Seq: seq}
	text := func(sep string) []byte {
		return fmt.Appendf(nil, `{"id":"%s","seq":%d,"type":"task.created","v":1,"timestamp":%d,"actor":"a","cause":null,"trace":null,%s"payload":{"text":"%s"}}`,
			id, seq, id.MS, sep, strings.Repeat("x", int(seq*seq%97)))
	}
	switch {
	case seq%29 == 11:
		return events.DecodeEntry(id, []byte("not an\nevent \xff"))
	case seq%29 == 12:
		return events.DecodeEntry(id, text("\n"))
	case seq%29 == 13:
		return events.DecodeEntry(id, nil)
	case seq%29 == 14:
		return events.DecodeEntry(id, []byte(`{"entry":"1-1","raw":null}`))
	case seq%29 == 15:
		return events.DecodeEntry(id, []byte{})
	}
	return events.DecodeEntry(id, text(""))
}

func flushed(seq int64) events.Entry {
	id := events.ID{MS: 1_700_000_000_000 + seq/3, Seq: seq}
	raw, err := events.Envelope{ID: id, Seq: seq, Type: events.TypeSystemFlushed, V: 1, Timestamp: id.MS, Actor: "a", Payload: json.RawMessage(`{}`)}.Encode()
	if err != nil {
		panic(err)
	}
	return events.DecodeEntry(id, raw)
}

var config = WriterConfig{Log: "log-1", Namespace: "ns", Program: "v0", SegmentBytes: 6000}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// fill appends the events up to a seq, and commits each tenth.
func fill(t *testing.T, w *Writer, to int64) {
	t.Helper()
	for seq := w.Next(); seq <= to; seq++ {
		must(t, w.Append(event(seq)))
		if seq%10 == 0 {
			w.Bound(seq)
			must(t, w.Commit())
		}
	}
	must(t, w.Commit())
}

// same fails unless the archive has exactly these events.
func same(t *testing.T, a *Archive, from, to int64, at func(int64) events.Entry) {
	t.Helper()
	first, last, err := a.Bounds(t.Context())
	must(t, err)
	if to >= from && (first != at(from).ID || last != at(to).ID) {
		t.Fatalf("bounds %s to %s, want %d to %d", first, last, from, to)
	}
	seq := from
	for {
		list, err := a.From(t.Context(), seq, 1<<62, 7)
		must(t, err)
		if len(list) == 0 {
			break
		}
		for _, e := range list {
			want := at(seq)
			if e.ID != want.ID || string(e.Raw) != string(want.Raw) || (e.Raw == nil) != (want.Raw == nil) ||
				fmt.Sprint(e.Err) != fmt.Sprint(want.Err) || fmt.Sprint(e.Envelope.Type) != fmt.Sprint(want.Envelope.Type) {
				t.Fatalf("event %d is %+v, want %+v", seq, e, want)
			}
			seq++
		}
	}
	if seq != to+1 {
		t.Fatalf("the archive ends before %d, want %d", seq, to+1)
	}
	must(t, a.Check(t.Context(), nil))
}
