package projections

import (
	"encoding/json"
	"reflect"
	"strings"
	"testing"

	"github.com/claudebench/claudebench/events"
)

// FuzzFacts holds the scanner against encoding/json: what it accepts, both read alike. It accepts
// the payloads that the scripts write.
func FuzzFacts(f *testing.F) {
	for name, e := range golden(f, "task.*.json") {
		if !new(fact).scan(e.Payload) {
			f.Errorf("%s is not scanned", name)
		}
		f.Add(string(e.Type), string(e.Payload))
		for _, wrong := range []string{
			`{}`, `{"id":"t-1"}`, `{"id":"t-01"}`, `{"id":"t-1","id":"t-2"}`, `{"ID":"t-1"}`, `{"id":"t-1","Text":"x"}`, `{ "id":"t-1"}`, `{"id" :"t-1"}`,
			`{"id":"t-1","text":"\ud800"}`, "{\"id\":\"t-1\",\"text\":\"\xff\"}", `{"id":"t-1","priority":1.0}`, `{"id":"t-1","priority":-0}`,
			`{"id":"t-1","priority":null}`, `{"id":"t-1","attempt":9223372036854775808}`, `{"id":"t-1","text":null,"metadata":null}`,
			`{"taskId":"t-1","previousAssignment":null,"previousStatus":"lost"}`, `{"id":"t-1","changes":{"text":7}}`, `{"id":"t-1","taskId":"t-2"}`,
			`{"id":"t-1","metadata":{"a":[1,{"b":"}\"]"}]} }`,
			`{"id":"t-1","workerId":null,"reason":null,"status":"cancelled","runAt":7}`, `{"id":"t-1","status":"lost"}`, `{"id":"t-1","failures":-1}`,
		} {
			f.Add(string(e.Type), wrong)
		}
	}
	f.Fuzz(func(t *testing.T, typ, payload string) {
		if !json.Valid([]byte(payload)) || !strings.HasPrefix(payload, "{") {
			return // no envelope has it
		}
		var scanned fact
		if !scanned.scan([]byte(payload)) {
			return
		}
		version, known := events.Version(events.Type(typ))
		if !known {
			return
		}
		// Each version reads alike: the scanner does not know which one it reads.
		for v := 1; v <= version; v++ {
			scannedAlike(t, scanned, events.Envelope{Type: events.Type(typ), V: v, Payload: []byte(payload)})
		}
	})
}

// scannedAlike compares what the scanner read of an event with what encoding/json reads.
func scannedAlike(t *testing.T, scanned fact, e events.Envelope) {
	t.Helper()
	read, err := events.PayloadAs[fact](e)
	if err != nil {
		t.Fatalf("%s is scanned, and encoding/json says %v", e.Payload, err)
	}
	if scanned.byTaskID != byTaskID(e.Type) {
		return // and so does read
	}
	if num, err := read.taskNumber(e.Type); err != nil || num != scanned.Num {
		t.Errorf("%s is task %d, want %d, %v", e.Payload, scanned.Num, num, err)
	}
	read.ID, read.TaskID, scanned.Num, scanned.byTaskID = "", "", 0, false
	if !reflect.DeepEqual(scanned, read) {
		t.Errorf("%s v%d\nscanned  %+v\ndecoded %+v", e.Payload, e.V, scanned, read)
	}
}

func BenchmarkFacts(b *testing.B) {
	const payload = `{"taskId":"t-123456","workerId":"worker-1","attempt":1,"previousAssignment":null,"status":"in_progress","previousStatus":"pending","waited":1234,"claimedAt":"2026-01-02T03:04:05.678Z"}`
	b.Run("scan", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			var p fact
			if !p.scan([]byte(payload)) {
				b.Fatal("not scanned")
			}
		}
	})
	b.Run("json", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			var p fact
			if err := json.Unmarshal([]byte(payload), &p); err != nil {
				b.Fatal(err)
			}
		}
	})
}
