package fleettest

import (
	"context"
	"encoding/json"
	"fmt"
	"regexp"
	"strings"

	"github.com/redis/go-redis/v9"
)

// Event is an envelope of the log.
type Event struct {
	ID        string          `json:"id"`
	Seq       int64           `json:"seq"`
	Type      string          `json:"type"`
	V         int             `json:"v"`
	Timestamp int64           `json:"timestamp"`
	Actor     string          `json:"actor"`
	Cause     *string         `json:"cause"`
	Trace     *string         `json:"trace"`
	Payload   json.RawMessage `json:"payload"`
}

// envelopeShape matches the start of an envelope, because its members are ordered.
var envelopeShape = regexp.MustCompile(
	`^\{"id":"[0-9]+-[0-9]+","seq":[0-9]+,"type":"[a-z._]+","v":[12],"timestamp":[0-9]+,"actor":"`)

// Read reads a stream of events and checks each entry's format.
func (f *Fleet) Read(stream string) []Event {
	f.T.Helper()
	entries, err := f.Client.XRange(context.Background(), stream, "-", "+").Result()
	if err != nil {
		f.T.Fatalf("read %s: %v", stream, err)
	}
	events := make([]Event, 0, len(entries))
	for _, entry := range entries {
		events = append(events, f.DecodeEntry(entry))
	}
	return events
}

// DecodeEntry decodes an entry of a stream and checks its format.
func (f *Fleet) DecodeEntry(entry redis.XMessage) Event {
	f.T.Helper()
	data, _ := entry.Values["data"].(string)
	if len(entry.Values) != 1 || !envelopeShape.MatchString(data) || strings.Contains(data, "\n") {
		f.T.Fatalf("entry %s is %v: not an envelope in a field data alone", entry.ID, entry.Values)
	}
	e := Decoded[Event](f.T, json.RawMessage(data))
	if e.ID != entry.ID || e.ID != fmt.Sprintf("%d-%d", e.Timestamp, e.Seq) {
		f.T.Fatalf("entry %s holds the event %s", entry.ID, data)
	}
	return e
}

// Events reads the whole log. The log must have no gap, must not go back in time, and must match
// the topics.
func (f *Fleet) Events() []Event {
	f.T.Helper()
	events := f.Read(f.Keys.Events())
	topics := map[string][]Event{}
	for i, e := range events {
		if i > 0 && (e.Seq != events[i-1].Seq+1 || e.Timestamp < events[i-1].Timestamp) {
			f.T.Fatalf("event %s follows %s", e.ID, events[i-1].ID)
		}
		topics[e.Type] = append(topics[e.Type], e)
	}
	for name, want := range topics {
		got := f.Read(f.Keys.Topic(name))
		if len(got) > len(want) || len(got) < min(len(want), 9000) {
			f.T.Fatalf("the topic %s holds %d events of %d", name, len(got), len(want))
		}
		for i, e := range want[len(want)-len(got):] {
			if got[i].ID != e.ID || string(got[i].Payload) != string(e.Payload) {
				f.T.Fatalf("the topic %s holds %s where the log has %s", name, got[i].ID, e.ID)
			}
		}
	}
	return events
}

// Since returns the events after a seq.
func (f *Fleet) Since(seq int64) []Event {
	f.T.Helper()
	events := f.Events()
	for i, e := range events {
		if e.Seq > seq {
			return events[i:]
		}
	}
	return nil
}

// Emitted checks the types of the events after a seq and returns these events.
func (f *Fleet) Emitted(seq int64, types ...string) []Event {
	f.T.Helper()
	events := f.Since(seq)
	var got []string
	for _, e := range events {
		got = append(got, e.Type)
	}
	if strings.Join(got, " ") != strings.Join(types, " ") {
		f.T.Fatalf("emitted %v, want %v", got, types)
	}
	return events
}

// Holds checks members of an event's payload. want is a JSON object.
func (f *Fleet) Holds(e Event, want string) {
	f.T.Helper()
	payload := Decoded[map[string]json.RawMessage](f.T, e.Payload)
	for name, v := range Decoded[map[string]json.RawMessage](f.T, json.RawMessage(want)) {
		if string(payload[name]) != string(v) {
			f.T.Errorf("%s has %s %s, want %s; all of it: %s", e.Type, name, payload[name], v, e.Payload)
		}
	}
}

// IsoMoment matches a time as the API writes it.
var IsoMoment = regexp.MustCompile(`^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z$`)
